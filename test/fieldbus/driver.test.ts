import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import type { DrivenBus, Driver, DriverDependencies } from '../../src/fieldbus/driver.ts';
import { driverOfBus, driverOfDevice, drivers } from '../../src/fieldbus/drivers.ts';
import { startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { BusOptions, DeviceOptions, ModbusDeviceOptions } from '../../src/fieldbus/options.ts';
import type { ChannelEvents } from '../../src/fieldbus/port/port.ts';
import type { Sample } from '../../src/reading/sample.ts';
import { blankDevice } from '../../src/status/status.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { modbusDevice, rtuBus } from '../support/modbus-options.ts';

/** A protocol of one byte a value: the smallest possible driver. */
type ByteDevice = Omit<ModbusDeviceOptions, 'kind'> & { kind: 'byte' };

const byteDriver = {
  busKinds: ['byte-line'],
  deviceKind: 'byte',
  openChannel: () => byteLine.open,
  start: startByteBus,
  check: () => {},
  points: () => [{ name: 'byte', type: 'uint16' as const }],
  withoutPlaces: (device: ByteDevice) => device,
  load: () => 0,
} as unknown as Driver;

/** A line with the bytes that the test puts on it. */
const byteLine = {
  events: undefined as ChannelEvents | undefined,
  pending: new Uint8Array(0),
  isOpen: false,
  put(byte: number): void {
    this.pending = Uint8Array.of(byte);
    this.events?.readable();
  },
  open: (events: ChannelEvents) => {
    byteLine.events = events;
    byteLine.isOpen = true;
    return Promise.resolve({
      write: () => {},
      read: () => {
        const bytes = byteLine.pending;
        byteLine.pending = new Uint8Array(0);
        return bytes;
      },
      watch: () => {},
      setBaudRate: () => Promise.resolve(),
      close: () => {
        byteLine.isOpen = false;
        return Promise.resolve();
      },
    });
  },
};

function startByteBus(_bus: BusOptions, { port, clock, deliver }: DriverDependencies): DrivenBus {
  let devices: readonly DeviceOptions[] = [];
  const listen = (): void => {
    for (const byte of port.read()) {
      for (const { name, silo } of devices) {
        const at = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
        deliver(silo, { device: name, ...at, values: { byte } });
      }
    }
    port.onReadable(listen);
  };
  port.onReadable(listen);
  return {
    assign: (next) => (devices = next),
    stop: () => {},
    finish: () => Promise.resolve(),
    devices: () => devices.map(({ name, silo, everyMs }) => blankDevice(name, silo, everyMs)),
    silos: () => [],
    load: () => 0,
  };
}

describe('the table of bus drivers', () => {
  it('has one driver for every kind of bus and of device', () => {
    const busKinds = drivers.flatMap((driver) => driver.busKinds);
    assert.equal(new Set(busKinds).size, busKinds.length);
    for (const kind of busKinds) assert.ok(driverOfBus(kind).busKinds.includes(kind));
    for (const { deviceKind } of drivers) assert.equal(driverOfDevice(deviceKind).deviceKind, deviceKind);
  });

  it('takes a third protocol without another change: its devices give samples beside the others', async () => {
    const clock = new FakeClock();
    const samples: Sample[] = [];
    const bus = { ...rtuBus('sim'), name: 'bytes', kind: 'byte-line' } as unknown as BusOptions;
    const device = { ...modbusDevice('mast', { bus: 'bytes', unitId: 1, points: [] }), kind: 'byte' };
    const fieldbus = startFieldbus(
      { buses: [bus], devices: [device as unknown as DeviceOptions] },
      {
        clock,
        logger: silentLogger,
        drivers: [...drivers, byteDriver],
        deliver: (_silo, more) => void samples.push(...more),
      },
    );
    await clock.advanceAsync(100);
    assert.equal(fieldbus.status()[0]!.state, 'open');
    assert.deepEqual(
      fieldbus.status()[0]!.devices.map(({ name }) => name),
      ['mast'],
    );
    byteLine.put(7);
    await clock.advanceAsync(100);
    assert.deepEqual(
      samples.map(({ device: name, values }) => [name, values]),
      [['mast', { byte: 7 }]],
    );
    await fieldbus.stop();
    assert.equal(byteLine.isOpen, false);
  });

  it('refuses a kind of bus without a driver by its name', () => {
    const bus = { ...rtuBus('sim'), kind: 'profibus' } as unknown as BusOptions;
    const start = () =>
      startFieldbus(
        { buses: [bus], devices: [] },
        { clock: new FakeClock(), logger: silentLogger, deliver: () => {} },
      );
    assert.throws(start, /no bus driver for 'profibus'/);
  });
});
