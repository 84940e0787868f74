import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModbusDeviceOptions } from '../../../src/fieldbus/options.ts';
import { modbusDevice, registerPoint, tcpBus } from '../../support/modbus-options.ts';
import { answerTo, exceptionTo, oneQueue, simulateEndpoint } from '../../support/simulated-endpoint.ts';

function unit(name: string, unitId: number, registers = 4): ModbusDeviceOptions {
  const points = Array.from({ length: registers }, (_, index) =>
    registerPoint(`p${index}`, { table: 'holding', address: index * 10, type: 'uint16' }),
  );
  return modbusDevice(name, { bus: 'plant', unitId, points });
}

describe('a gateway that answers for a unit that is away', () => {
  for (const code of [2, 4, 5, 6, 8, 10, 11, 99]) {
    it(`with exception ${code}: values within 15 s of its return, and none of the neighbour's is lost`, async () => {
      const isAway = { value: false };
      const { clock, whole, of, endpoint, fieldbus, log } = simulateEndpoint(
        tcpBus(502),
        [unit('one', 1), unit('two', 2)],
        () => (request, connection) => {
          const refused = request.unitId === 2 && isAway.value;
          connection.send(refused ? exceptionTo(request, code) : answerTo(request), 5);
        },
      );
      await clock.advanceAsync(8000);
      isAway.value = true;
      await clock.advanceAsync(25_000);
      isAway.value = false;
      const backAtMs = clock.monotonicMs();
      await clock.advanceAsync(667_000);
      const first = whole('two').find(({ monotonicMs }) => monotonicMs > backAtMs);
      assert.ok(first && first.monotonicMs - backAtMs <= 15_000);
      assert.ok(whole('one').length >= 699, `${whole('one').length} of the neighbour's 700`);
      assert.ok(whole('two').length >= 650, `${whole('two').length} of 700`);
      const qualities = new Set(of('two').flatMap(({ quality }) => Object.values(quality ?? {})));
      assert.deepEqual(qualities, new Set([`exception:${code}`]));
      const lines = log.filter(({ fields }) => fields['device'] === 'two').map(({ event }) => event);
      assert.ok(lines.length >= 2 && lines.length <= 4, lines.join());
      assert.equal(lines.at(-1), 'device back');
      assert.ok(endpoint.heard.length < 2000);
      await fieldbus.stop();
    });
  }

  it('at once, for fifty of them: all are asked within 15 s, and the living one keeps its second', async () => {
    const dead = Array.from({ length: 50 }, (_, index) => unit(`d${index}`, 10 + index, 1));
    const { clock, whole, endpoint, fieldbus } = simulateEndpoint(
      tcpBus(502),
      [unit('one', 1), ...dead],
      () => (request, connection) =>
        connection.send(request.unitId === 1 ? answerTo(request) : exceptionTo(request, 11), 5),
    );
    await clock.advanceAsync(120_000);
    assert.ok(whole('one').length >= 119);
    for (const { unitId } of dead) {
      const times = endpoint.heard.filter((request) => request.unitId === unitId).map(({ atMs }) => atMs);
      const late = times.slice(1).map((time, index) => time - times[index]!);
      assert.ok(Math.max(...late) <= 15_000, `unit ${unitId} was left alone for ${Math.max(...late)} ms`);
    }
    await fieldbus.stop();
  });
});

describe('a gateway that waits 0.8 s before it answers for a unit that is away', () => {
  it('costs the neighbours a bounded share, and the unit is back within 15 s of its return', async () => {
    const isAway = { value: true };
    const { clock, whole, fieldbus } = simulateEndpoint(
      tcpBus(502),
      [unit('one', 1), unit('two', 2)],
      (clock) =>
        oneQueue(clock, (request) =>
          request.unitId === 2 && isAway.value
            ? { busyMs: 800, answer: exceptionTo(request, 11) }
            : { busyMs: 20, answer: answerTo(request) },
        ),
    );
    await clock.advanceAsync(120_000);
    assert.ok(whole('one').length >= 110, `${whole('one').length} of the neighbour's 120`);
    isAway.value = false;
    await clock.advanceAsync(15_000);
    assert.ok(whole('two').length > 0);
    await fieldbus.stop();
  });
});

describe('the log of a device that alternates between good and failing', () => {
  it('has at most a few lines a minute, and the last one is right', async () => {
    const away = { value: false };
    const { clock, log, fieldbus, device } = simulateEndpoint(
      tcpBus(502),
      [unit('one', 1)],
      () => (request, connection) =>
        connection.send(away.value ? exceptionTo(request, 6) : answerTo(request), 5),
    );
    for (let turns = 0; turns < 60; turns += 1) {
      away.value = !away.value;
      await clock.advanceAsync(5000);
    }
    const lines = log.filter(({ fields }) => fields['device'] === 'one');
    assert.ok(lines.length <= 10, `${lines.length} lines in five minutes`);
    await clock.advanceAsync(120_000);
    assert.equal(device('one').state, 'good');
    assert.equal(log.findLast(({ fields }) => fields['device'] === 'one')?.event, 'device back');
    await fieldbus.stop();
  });
});
