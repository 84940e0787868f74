import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BusOptions, ModbusDeviceOptions } from '../../../src/fieldbus/options.ts';
import { mbapFrame } from '../../support/modbus-frames.ts';
import { modbusDevice, registerPoint, tcpBus } from '../../support/modbus-options.ts';
import {
  answerTo,
  type EndpointBehaviour,
  type HeardRequest,
  registersFor,
  simulateEndpoint,
  type SimulatedTcpFieldbus,
} from '../../support/simulated-endpoint.ts';

function device(registers = 2): ModbusDeviceOptions {
  const points = Array.from({ length: registers }, (_, address) =>
    registerPoint(`p${address}`, { table: 'holding', address, type: 'uint16' }),
  );
  return modbusDevice('d', { bus: 'plant', unitId: 21, points });
}

function start(
  answer: (request: HeardRequest) => Uint8Array,
  tolerance: Partial<BusOptions> = {},
  devices: ModbusDeviceOptions[] = [device()],
): SimulatedTcpFieldbus {
  const behaviour: EndpointBehaviour = (request, connection) => connection.send(answer(request), 5);
  return simulateEndpoint({ ...tcpBus(502), ...tolerance } as BusOptions, devices, () => behaviour);
}

const swapped = (word: number): number => ((word & 0xff) << 8) | (word >> 8);

describe('a transaction id that is not repeated', () => {
  for (const [what, idOf] of [
    ['always 0', () => 0],
    ['always 1', () => 1],
    ['byte-swapped', (id) => swapped(id)],
    ['one too high', (id) => id + 1],
  ] as [string, (id: number) => number][]) {
    const answer = (request: HeardRequest): Uint8Array =>
      mbapFrame(idOf(request.transactionId), request.unitId, ...registersFor(request));

    it(`${what}: says so, and which key helps`, async () => {
      const { clock, of, device, fieldbus } = start(answer);
      await clock.advanceAsync(10_000);
      assert.match(
        device('d').reason!,
        /^it answers, but with transaction id \d+ where \d+ was asked; set 'ignoreTransactionId: true'/,
      );
      assert.ok(of('d').every(({ values }) => Object.keys(values).length === 0 || idOf(1) === 1));
      await fieldbus.stop();
    });

    it(`${what}: is read with ignoreTransactionId`, async () => {
      const { clock, whole, fieldbus, endpoint } = start(answer, { ignoreTransactionId: true });
      await clock.advanceAsync(20_000);
      assert.ok(whole('d').length >= 20);
      assert.equal(endpoint.connections.length, 1);
      await fieldbus.stop();
    });
  }

  it('with ignoreTransactionId: a late answer is never taken for the next one’s', async () => {
    const points = [0, 500].map((address) =>
      registerPoint(`p${address}`, { table: 'holding', address, type: 'uint16' }),
    );
    let turn = 0;
    const behaviour: EndpointBehaviour = (request, connection) => {
      turn += 1;
      const frame = mbapFrame(0, request.unitId, ...registersFor(request));
      connection.send(frame, turn % 3 === 0 ? 1000 + ((turn * 37) % 900) : 5);
    };
    const one = modbusDevice('d', { bus: 'plant', unitId: 21, points });
    const bus = { ...tcpBus(502), ignoreTransactionId: true };
    const { clock, of, fieldbus } = simulateEndpoint(bus, [one], () => behaviour);
    await clock.advanceAsync(600_000);
    let values = 0;
    for (const sample of of('d')) {
      for (const [name, value] of Object.entries(sample.values)) {
        assert.equal(name, `p${String(value)}`);
        values += 1;
      }
    }
    assert.ok(values > 200, `${values} values`);
    await fieldbus.stop();
  });
});

describe('another unit id in the answer', () => {
  for (const unitId of [0, 1, 255]) {
    const answer = (request: HeardRequest): Uint8Array =>
      mbapFrame(request.transactionId, unitId, ...registersFor(request));

    it(`${unitId}: says which unit answers, and what to set`, async () => {
      const { clock, of, device, fieldbus } = start(answer);
      await clock.advanceAsync(5000);
      assert.match(
        device('d').reason!,
        new RegExp(`^unit ${unitId} answers where 21 was asked; .*ignoreUnitId`),
      );
      assert.deepEqual(of('d')[0]?.quality, { p0: 'invalid', p1: 'invalid' });
      await fieldbus.stop();
    });

    it(`${unitId}: is read with ignoreUnitId`, async () => {
      const { clock, whole, fieldbus } = start(answer, { ignoreUnitId: true });
      await clock.advanceAsync(20_000);
      assert.ok(whole('d').length >= 20);
      await fieldbus.stop();
    });
  }
});

describe('a refusal in the name of another unit', () => {
  const far = registerPoint('far', { table: 'holding', address: 200, type: 'uint16' });
  const one = device(1);
  const devices = [{ ...one, points: [...one.points, far] }];

  for (const unitId of [0, 1, 255]) {
    for (const code of [2, 11]) {
      it(`${unitId}, exception ${code}: costs the point that it refuses alone`, async () => {
        const answer = (request: HeardRequest): Uint8Array =>
          request.pdu.readUInt16BE(1) === 200
            ? mbapFrame(request.transactionId, unitId, request.pdu[0]! | 0x80, code)
            : answerTo(request);
        const { clock, of, fieldbus } = start(answer, {}, devices);
        await clock.advanceAsync(20_000);
        assert.ok(of('d').length >= 20);
        for (const { values, quality } of of('d')) {
          assert.deepEqual([values, quality], [{ p0: 0 }, { far: `exception:${code}` }]);
        }
        await fieldbus.stop();
      });
    }
  }
});

describe('an answer of another length', () => {
  it('with four bytes a register is reported in registers', async () => {
    const { clock, device, of, fieldbus } = start((request) => {
      const [functionCode, count, ...data] = registersFor(request);
      const doubled = data.flatMap((byte, index) => (index % 2 === 0 ? [0, 0, byte] : [byte]));
      return mbapFrame(request.transactionId, request.unitId, functionCode!, count! * 2, ...doubled);
    });
    await clock.advanceAsync(3000);
    assert.match(
      device('d').reason!,
      /^wrong length: 2 registers asked, 4 came; it sends twice as many bytes/,
    );
    assert.deepEqual(of('d')[0]?.quality, { p0: 'invalid', p1: 'invalid' });
    await fieldbus.stop();
  });

  for (const most of [1, 3, 16, 60]) {
    it(`cut to ${most} registers is learned: smaller requests bring all values`, async () => {
      const { clock, whole, of, fieldbus } = start(
        (request) => {
          const [functionCode, , ...data] = registersFor(request);
          const cut = data.slice(0, most * 2);
          return mbapFrame(request.transactionId, request.unitId, functionCode!, cut.length, ...cut);
        },
        {},
        [device(100)],
      );
      await clock.advanceAsync(60_000);
      assert.ok(whole('d').length >= 55, `${whole('d').length} of 60, ${of('d').length} in all`);
      for (const { values } of whole('d')) assert.equal(values['p99'], 99);
      await fieldbus.stop();
    });
  }

  it('cut even for a single register is reported, and the others are read', async () => {
    const points = [
      registerPoint('good', { table: 'holding', address: 0, type: 'uint16' }),
      registerPoint('wide', { table: 'holding', address: 200, type: 'float64' }),
    ];
    const { clock, of, fieldbus, device } = start(
      (request) => {
        if (request.pdu.readUInt16BE(1) === 0) return answerTo(request);
        return mbapFrame(request.transactionId, request.unitId, 3, 4, 0, 1, 0, 2);
      },
      {},
      [modbusDevice('d', { bus: 'plant', unitId: 21, points })],
    );
    await clock.advanceAsync(30_000);
    assert.ok(of('d').length >= 30);
    for (const { values, quality } of of('d')) {
      assert.deepEqual([values, quality], [{ good: 0 }, { wide: 'invalid' }]);
    }
    assert.match(device('d').reason!, /wrong length: 4 registers asked, 2 came; .*registersMax/);
    await fieldbus.stop();
  });
});
