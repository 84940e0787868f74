import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModbusDeviceOptions } from '../../../../src/fieldbus/options.ts';
import { loadOf } from '../../../../src/fieldbus/modbus/planning/bus-load.ts';
import { overloads } from '../../../../src/fieldbus/overload.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../../../support/modbus-options.ts';

function meter(name: string, registers: number, everyMs: number, bus = 'rs485'): ModbusDeviceOptions {
  const points = Array.from({ length: registers }, (_, index) =>
    registerPoint(`p${index}`, { table: 'input', address: index, type: 'uint16', everyMs }),
  );
  return modbusDevice(name, { bus, unitId: 1, points, everyMs, place: `merestone.yaml:${everyMs}` });
}

describe('the load of a line', () => {
  const bus = rtuBus('/dev/ttyUSB0', { baudRate: 9600 });

  it('is what its plan takes of its time', () => {
    // 13 + 200 characters of 10 bits at 9600 baud, 3.5 characters of silence, 5 ms to answer: 230.5 ms.
    assert.ok(Math.abs(loadOf(bus, meter('m', 100, 1000)) - 0.2305) < 0.0005);
  });

  it('counts points with a longer interval as rarely as they come', () => {
    const fast = meter('m', 10, 1000);
    const slow = {
      ...fast,
      points: fast.points.map((point, index) => (index < 5 ? point : { ...point, everyMs: 60_000 })),
    };
    assert.ok(loadOf(bus, slow) < loadOf(bus, fast));
    assert.ok(loadOf(bus, slow) > loadOf(bus, meter('m', 5, 1000)));
  });

  it('that fits causes no fault', () => {
    assert.deepEqual(overloads([bus], [meter('a', 100, 1000), meter('b', 100, 1000)]), []);
    assert.deepEqual(overloads([bus], []), []);
  });

  it('that does not fit is refused, with the device to slow down and its interval', () => {
    const devices = [meter('side', 20, 1000), meter('main-meter', 120, 200)];
    const [fault, ...more] = overloads([bus, tcpBus(502)], devices);
    assert.deepEqual(more, []);
    assert.equal(fault!.bus, 'rs485');
    assert.equal(fault!.device, 'main-meter');
    assert.equal(fault!.place, 'merestone.yaml:200');
    assert.match(fault!.message, /^rs485: 14\d % of the line at 9600 baud$/);
    assert.equal(fault!.hint, "slow 'main-meter' to 500ms or raise the baud rate");
    const slowed = [devices[0]!, meter('main-meter', 120, 500)];
    assert.deepEqual(overloads([bus], slowed), []);
  });

  it('of an endpoint is its round trips, with its requests in flight', () => {
    const devices = Array.from({ length: 30 }, (_, index) => meter(`m${index}`, 20, 20, 'plant'));
    const [fault] = overloads([tcpBus(502)], devices);
    assert.match(fault!.message, /of what the endpoint can answer/);
    assert.deepEqual(overloads([tcpBus(502, { pipeline: 4 })], devices), []);
  });
});
