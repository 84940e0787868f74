import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayQueue } from '../../../src/fieldbus/modbus/gateway-queue.ts';
import type { BusOptions, ModbusDeviceOptions } from '../../../src/fieldbus/options.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import { rtuFrame } from '../../support/modbus-frames.ts';
import { modbusDevice, registerPoint, tcpBus } from '../../support/modbus-options.ts';
import {
  answerTo,
  type EndpointBehaviour,
  exceptionTo,
  type HeardRequest,
  oneQueue,
  registersFor,
  simulateEndpoint,
} from '../../support/simulated-endpoint.ts';

const healthyMs = 20;

function units(count: number, everyMs = 1000): ModbusDeviceOptions[] {
  return Array.from({ length: count }, (_, index) =>
    modbusDevice(`u${index + 1}`, {
      bus: 'plant',
      unitId: index + 1,
      everyMs,
      points: [
        registerPoint('a', { table: 'holding', address: 100 * (index + 1), type: 'uint16', everyMs }),
        registerPoint('b', { table: 'holding', address: 100 * (index + 1) + 1, type: 'uint16', everyMs }),
      ],
    }),
  );
}

interface Fault {
  /** How long the gateway waits for a silent unit. */
  gatewayMs: number;
  /** Its answer then; null: none. */
  exceptionCode: number | null;
  isDead: (unitId: number) => boolean;
}

function gateway({ gatewayMs, exceptionCode, isDead }: Fault): (clock: FakeClock) => EndpointBehaviour {
  return (clock) =>
    oneQueue(clock, (request) => {
      if (!isDead(request.unitId)) return { busyMs: healthyMs, answer: answerTo(request) };
      const answer = exceptionCode === null ? null : exceptionTo(request, exceptionCode);
      return { busyMs: gatewayMs, answer };
    });
}

const silences = [800, 1500, 3000, 5000].flatMap((gatewayMs) =>
  [null, 11, 10].map((exceptionCode) => ({ gatewayMs, exceptionCode })),
);

describe('a gateway that serves one request at a time', () => {
  for (const { gatewayMs, exceptionCode } of silences) {
    const says = exceptionCode === null ? 'in silence' : `then exception ${exceptionCode}`;
    for (const living of [1, 3]) {
      it(`and waits ${gatewayMs} ms for a dead unit, ${says}: ${living} living lose a tenth at most`, async () => {
        const dead = living + 1;
        const { clock, whole, of, fieldbus } = simulateEndpoint(
          tcpBus(502),
          units(dead),
          gateway({ gatewayMs, exceptionCode, isDead: (unitId) => unitId === dead }),
        );
        await clock.advanceAsync(240_000);
        for (let unit = 1; unit <= living; unit += 1) {
          const got = whole(`u${unit}`).length;
          assert.ok(got >= 240 * 0.85, `u${unit}: ${got} of 240`);
          const lost = of(`u${unit}`).filter(({ quality }) => quality !== undefined);
          assert.ok(lost.length <= 8, `u${unit}: ${lost.length} samples without values`);
          assert.ok(lost.every(({ monotonicMs }) => monotonicMs < 1_000_000 + 20_000));
          for (const { values } of whole(`u${unit}`)) {
            assert.deepEqual(values, { a: 100 * unit, b: 100 * unit + 1 });
          }
        }
        await fieldbus.stop();
      });
    }
  }

  it('whose unit dies later, and comes back: its neighbours lose little, it is back within its share', async () => {
    const away = { value: false };
    const { clock, whole, fieldbus, device } = simulateEndpoint(
      tcpBus(502),
      units(3),
      gateway({ gatewayMs: 3000, exceptionCode: null, isDead: (unitId) => unitId === 2 && away.value }),
    );
    await clock.advanceAsync(20_000);
    away.value = true;
    await clock.advanceAsync(200_000);
    for (const unit of ['u1', 'u3'])
      assert.ok(whole(unit).length >= 190, `${unit}: ${whole(unit).length} of 220`);
    assert.equal(device('u2').state, 'offline');
    const before = whole('u2').length;
    away.value = false;
    await clock.advanceAsync(45_000);
    assert.ok(whole('u2').length > before, 'the unit is back');
    const from = whole('u1').length;
    await clock.advanceAsync(60_000);
    assert.ok(whole('u1').length - from >= 59, 'and its neighbours have all of theirs again');
    await fieldbus.stop();
  });

  it('with several requests in flight loses no more', async () => {
    const { clock, whole, fieldbus } = simulateEndpoint(
      tcpBus(502, { pipeline: 4 }),
      units(4),
      gateway({ gatewayMs: 3000, exceptionCode: null, isDead: (unitId) => unitId === 4 }),
    );
    await clock.advanceAsync(240_000);
    for (const unit of ['u1', 'u2', 'u3']) {
      assert.ok(whole(unit).length >= 240 * 0.8, `${unit}: ${whole(unit).length} of 240`);
    }
    await fieldbus.stop();
  });

  it('all of whose units die and come back', async () => {
    const away = { value: false };
    const { clock, whole, fieldbus } = simulateEndpoint(
      tcpBus(502),
      units(3),
      gateway({ gatewayMs: 3000, exceptionCode: null, isDead: () => away.value }),
    );
    await clock.advanceAsync(10_000);
    away.value = true;
    await clock.advanceAsync(300_000);
    away.value = false;
    await clock.advanceAsync(60_000);
    const counts = ['u1', 'u2', 'u3'].map((unit) => whole(unit).length);
    await clock.advanceAsync(20_000);
    for (const [index, unit] of ['u1', 'u2', 'u3'].entries()) {
      assert.ok(whole(unit).length - counts[index]! >= 19, unit);
    }
    await fieldbus.stop();
  });

  it('by RTU frames over TCP: one dead unit costs its neighbours little, and no value is assigned to another request', async () => {
    const { pipeline: _, ...endpoint } = tcpBus(502);
    const bus: BusOptions = { ...endpoint, pipeline: 1, kind: 'modbus-rtu-over-tcp' };
    const asRtu =
      (behaviour: EndpointBehaviour): EndpointBehaviour =>
      (request, connection) =>
        behaviour({ ...request, unitId: request.bytes[0]!, pdu: request.bytes.subarray(1, -2) }, connection);
    const serve = (request: HeardRequest) =>
      request.unitId === 3
        ? { busyMs: 3000, answer: null }
        : { busyMs: healthyMs, answer: rtuFrame(request.unitId, ...registersFor(request)) };
    const { clock, whole, fieldbus } = simulateEndpoint(bus, units(3), (clock) =>
      asRtu(oneQueue(clock, serve)),
    );
    await clock.advanceAsync(240_000);
    for (const unit of [1, 2]) {
      assert.ok(whole(`u${unit}`).length >= 240 * 0.8, `u${unit}: ${whole(`u${unit}`).length} of 240`);
      for (const { values } of whole(`u${unit}`)) {
        assert.deepEqual(values, { a: 100 * unit, b: 100 * unit + 1 });
      }
    }
    await fieldbus.stop();
  });
});

describe('a device that is slower than its timeout', () => {
  for (const slowMs of [1200, 2500, 3900]) {
    it(`by answers after ${slowMs} ms is still read, at its own pace`, async () => {
      const { clock, whole, fieldbus, device } = simulateEndpoint(tcpBus(502), units(1), (clock) =>
        oneQueue(clock, (request) => ({ busyMs: slowMs, answer: answerTo(request) })),
      );
      await clock.advanceAsync(120_000);
      assert.ok(whole('u1').length >= 60_000 / (slowMs + 1000), `${whole('u1').length} samples`);
      assert.equal(device('u1').state, 'good');
      await fieldbus.stop();
    });
  }
});

describe('the queue of a gateway', () => {
  it('is learned from the first delayed answer, and forgotten after one without delay', () => {
    const queue = new GatewayQueue();
    queue.sent(1, 9, 0);
    assert.equal(queue.turnAtMs(1), 0);
    queue.sent(2, 1, 1000);
    assert.equal(queue.answered(2, 20, 3020), 2000);
    assert.equal(queue.holdMs, 3000);
    queue.sent(3, 9, 10_000);
    queue.sent(4, 1, 10_750);
    assert.equal(queue.turnAtMs(4), 13_000);
    assert.equal(queue.giveUp(3, 10_750), 2250);
    assert.equal(queue.answered(4, 20, 10_770), 0);
    assert.equal(queue.holdMs, 750);
  });

  it('is told by the exception of the gateway itself', () => {
    const queue = new GatewayQueue();
    queue.sent(1, 9, 0);
    queue.gaveUp(1, 1500);
    assert.equal(queue.holdMs, 1500);
  });

  it('delays nothing for longer than ten seconds', () => {
    const queue = new GatewayQueue();
    for (let id = 1; id <= 6; id += 1) queue.sent(id, 9, id);
    queue.sent(7, 1, 7);
    queue.answered(7, 20, 19_000);
    assert.ok(queue.holdMs <= 10_000);
    for (let id = 10; id <= 15; id += 1) queue.sent(id, 9, 20_000);
    assert.ok(queue.turnAtMs(15) <= 30_000);
  });
});
