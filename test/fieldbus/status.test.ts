import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import { startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { OpenChannel } from '../../src/fieldbus/port/port.ts';
import { SampleRecord } from '../../src/fieldbus/sample-record.ts';
import type { ModbusDeviceOptions } from '../../src/fieldbus/options.ts';
import type { Quality } from '../../src/reading/quality.ts';
import { pointsListedMax } from '../../src/status/status.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../support/modbus-options.ts';
import { meters, simulateFieldbus } from '../support/simulated-fieldbus.ts';

/** Unit 1 has the holding registers 0 to 199. */
function boiler(points: Record<string, { address: number; everyMs?: number }>): ModbusDeviceOptions {
  const list = Object.entries(points).map(([name, where]) =>
    registerPoint(name, { table: 'holding', type: 'uint16', ...where }),
  );
  return modbusDevice('boiler', { bus: 'rs485', unitId: 1, points: list });
}

describe('what a device’s status says of its values', () => {
  it('never had one if its only point is an exception, after any number of samples', async () => {
    const { clock, status, samples, fieldbus } = simulateFieldbus(rtuBus('sim'), [
      boiler({ flow: { address: 300 } }),
    ]);
    await clock.advanceAsync(40_500);
    assert.ok(samples.length >= 40);
    const { state, reason, samples: counted, lastSampleAt, silentMs, points } = status('boiler');
    assert.deepEqual([state, counted, lastSampleAt], ['failing', 0, null]);
    assert.ok(silentMs >= 40_000, `${silentMs} ms`);
    assert.match(reason!, /exception 2/);
    const failing = [{ name: 'flow', quality: 'exception:2' }];
    assert.deepEqual(points, { total: 1, valued: 0, good: 0, byQuality: { 'exception:2': 1 }, failing });
    await fieldbus.stop();
  });

  it('keeps the time of its last one when it dies, and counts its silence over a step of the wall clock', async () => {
    const { clock, answerMs, status, samples, fieldbus } = simulateFieldbus(rtuBus('sim'), meters(1, 2));
    await clock.advanceAsync(5500);
    const { lastSampleAt, samples: counted } = status('m1');
    answerMs.set(1, null);
    clock.setWall(clock.wallMs() - 20 * 365 * 86_400_000);
    await clock.advanceAsync(60_000);
    const dead = status('m1');
    assert.ok(samples.length > 30, 'it is told that it is offline');
    assert.deepEqual([dead.state, dead.samples, dead.lastSampleAt], ['offline', counted, lastSampleAt]);
    assert.ok(Math.abs(dead.silentMs - 60_500) < 1000, `${dead.silentMs} ms`);
    assert.deepEqual(dead.points.byQuality, { offline: 2 });
    answerMs.set(1, 10);
    await clock.advanceAsync(20_000);
    const back = status('m1');
    assert.deepEqual([back.state, back.points.good], ['good', 2]);
    assert.ok(back.silentMs < 1100 && back.samples > counted);
    await fieldbus.stop();
  });

  it('has the last value of each point, at any interval', async () => {
    const points = { fast: { address: 0 }, slow: { address: 300, everyMs: 10_000 } };
    const { clock, status, fieldbus } = simulateFieldbus(rtuBus('sim'), [boiler(points)]);
    await clock.advanceAsync(4500);
    const { everyMs, points: told } = status('boiler');
    assert.equal(everyMs, 1000);
    assert.deepEqual(told, {
      total: 2,
      valued: 1,
      good: 1,
      byQuality: { 'exception:2': 1 },
      failing: [{ name: 'slow', quality: 'exception:2' }],
    });
    await fieldbus.stop();
  });

  it('counts an implausible value as a value, and its point as not good', () => {
    const record = new SampleRecord(0);
    const quality = { voltage: 'implausible' as Quality };
    record.take({ values: { voltage: 171_797_795.8, current: 1 }, quality, wallMs: 5, monotonicMs: 5 });
    const { samples, lastSampleAt, silentMs, points } = record.status(7);
    assert.deepEqual([samples, lastSampleAt, silentMs], [1, 5, 2]);
    assert.deepEqual([points.valued, points.good, points.byQuality], [2, 1, { implausible: 1 }]);
  });

  it('names no more points than fit', () => {
    const record = new SampleRecord(0);
    const quality = Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [`p${index}`, 'timeout' as const]),
    );
    record.take({ values: {}, quality, wallMs: 1, monotonicMs: 1 });
    const { points } = record.status(1);
    assert.deepEqual(
      [points.total, points.byQuality['timeout'], points.failing.length],
      [500, 500, pointsListedMax],
    );
    record.forgetPoints();
    assert.equal(record.status(1).points.total, 0);
  });
});

/** A line that the test connects and disconnects, on a clock that the test sets. */
function breakable(idleCloseMs = 0) {
  const clock = new FakeClock();
  const line = { isThere: true, tries: 0, end: (_reason: string): void => {} };
  const openChannel = (): OpenChannel => async (events) => {
    line.tries += 1;
    if (!line.isThere) throw new Error('it is not there');
    line.end = (reason) => events.ended(reason);
    const nothing = new Uint8Array(0);
    return {
      write: () => {},
      read: () => nothing,
      watch: () => {},
      setBaudRate: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  };
  const fieldbus = startFieldbus(
    { buses: [tcpBus(502, { idleCloseMs })], devices: [] },
    { clock, logger: silentLogger, deliver: () => {}, openChannel },
  );
  return { clock, line, fieldbus, status: () => fieldbus.status()[0]! };
}

describe('what a bus’s status says of its line', () => {
  it('is lost until it is open again, however often that is tried, and counts from when it was', async () => {
    const { clock, line, fieldbus, status } = breakable();
    await clock.advanceAsync(1000);
    assert.deepEqual([status().state, status().reason], ['open', null]);
    line.isThere = false;
    line.end('the other side closed it');
    clock.setWall(0);
    for (let second = 0; second < 60; second += 1) {
      await clock.advanceAsync(1000);
      assert.equal(status().state, 'lost');
      assert.ok(Math.abs(status().forMs - 1000 * (second + 1)) < 10, `${status().forMs} ms`);
    }
    assert.ok(line.tries > 10);
    assert.equal(status().reason, 'it is not there');
    line.isThere = true;
    await clock.advanceAsync(10_000);
    assert.deepEqual([status().state, status().reason], ['open', null]);
    assert.ok(status().forMs < 10_000);
    await fieldbus.stop();
    assert.equal(status().state, 'closed');
  });

  it('is open while it idles', async () => {
    const { clock, line, fieldbus, status } = breakable(3000);
    await clock.advanceAsync(20_000);
    assert.equal(status().state, 'open');
    assert.ok(status().forMs > 19_000);
    assert.equal(line.tries, 1);
    await fieldbus.stop();
  });

  it('recognises an overload by the demand', async () => {
    // 20 units with 60 registers, each 0.14 s at 9600 baud, twice a second.
    const { clock, fieldbus } = simulateFieldbus(rtuBus('sim', { baudRate: 9600 }), meters(20, 60, 500));
    await clock.advanceAsync(90_000);
    const [{ load, devices }] = fieldbus.status() as [ReturnType<typeof fieldbus.status>[number]];
    const pollMs = (devices[0]!.busShare * 60_000) / (devices[0]!.requests / 1.5);
    const asked = (20 * pollMs) / 500;
    assert.ok(asked > 5, `${asked}`);
    assert.ok(Math.abs(load / asked - 1) < 0.1, `${load} of ${asked}`);
    await fieldbus.stop();
  });

  it('does not take a quota or a dead device for an overload', async () => {
    const devices = meters(6, 60, 500);
    const shares = new Map([['north', 0.2]]);
    const held = simulateFieldbus(rtuBus('sim', { baudRate: 9600 }), devices, { shares });
    await held.clock.advanceAsync(70_000);
    assert.ok(held.fieldbus.status()[0]!.load < 0.3);
    await held.fieldbus.stop();
    const dying = simulateFieldbus(rtuBus('sim'), meters(2, 2, 250));
    await dying.clock.advanceAsync(10_000);
    dying.answerMs.set(1, null);
    await dying.clock.advanceAsync(30_000);
    assert.ok(dying.fieldbus.status()[0]!.load < 0.9);
    await dying.fieldbus.stop();
  });
});
