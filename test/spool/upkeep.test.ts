import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { KeyWrapper } from '../../src/spool/spool.ts';
import { ulid } from '../../src/base/ulid.ts';
import type { StreamEvent } from '../../src/messages/event.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { directoryInMemory, openTestSpool, testKeys, testSample } from '../support/spool.ts';
import { drain } from '../support/spool-damage.ts';

const hourMs = 3_600_000;

/** Counts data keys as they are made. */
function countingKeys(): { keys: KeyWrapper; made: () => number; fail: (yes: boolean) => void } {
  const inner = testKeys('acme');
  let count = 0;
  let failing = false;
  const wrap = async (dataKey: Uint8Array): Promise<string> => {
    if (failing) throw new Error('the key store is away');
    count += 1;
    return inner.wrap(dataKey);
  };
  return {
    keys: { ...inner, wrap },
    made: () => count,
    fail: (yes) => {
      failing = yes;
    },
  };
}

describe('data keys', () => {
  it('change by time, over restarts too, and not more often', async (t) => {
    const directory = directoryInMemory(t);
    const clock = new FakeClock();
    const { keys, made } = countingKeys();
    const open = () => openTestSpool(directory, { keyPeriodMs: 24 * hourMs }, { clock, keys });
    let spool = await open();
    for (let hour = 1; hour <= 100; hour += 1) {
      await clock.advanceAsync(hourMs);
      spool.enqueue([testSample(hour)]);
      if (hour % 10 > 0) continue;
      spool.close();
      spool = await open();
    }
    t.after(() => spool.close());
    assert.equal(made(), 1 + 4);
    assert.equal(drain(spool).delivered.size, 100);
  });

  it('change soon after the clock was found to have been ahead', async (t) => {
    const clock = new FakeClock();
    const { keys, made } = countingKeys();
    const spool = await openTestSpool(directoryInMemory(t), {}, { clock, keys });
    t.after(() => spool.close());
    clock.setWall(clock.wallMs() - 1000 * 24 * hourMs);
    spool.enqueue([testSample(1)]);
    await clock.advanceAsync(1);
    assert.equal(made(), 2);
  });

  it('go on sealing where no new one can be had, which is tried once a minute', async (t) => {
    const clock = new FakeClock();
    const { keys, made, fail } = countingKeys();
    const spool = await openTestSpool(directoryInMemory(t), { keyPeriodMs: hourMs }, { clock, keys });
    t.after(() => spool.close());
    fail(true);
    for (let minute = 0; minute < 65; minute += 1) {
      await clock.advanceAsync(60_001);
      spool.enqueue([testSample(minute)]);
    }
    assert.equal(made(), 1);
    fail(false);
    await clock.advanceAsync(60_001);
    spool.enqueue([testSample(66)]);
    await clock.advanceAsync(1);
    assert.equal(made(), 2);
  });
});

describe('rows of delivered batches', () => {
  it('leave the file with the next commit, or after two seconds', async (t) => {
    const parent = directoryInMemory(t);
    const clock = new FakeClock();
    const spool = await openTestSpool(join(parent, 'spool'), {}, { clock });
    t.after(() => spool.close());
    let copies = 0;
    const leftAfterKill = async (): Promise<number> => {
      const copy = join(parent, `copy-${(copies += 1)}`);
      cpSync(join(parent, 'spool'), copy, { recursive: true });
      const killed = await openTestSpool(copy);
      const { batches } = killed.status();
      killed.close();
      return batches;
    };
    const deliverOne = (): void => spool.settle({ acked: spool.lease(1, 'fifo').map(({ key }) => key) });
    for (let ts = 1; ts <= 3; ts += 1) spool.enqueue([testSample(ts)]);
    deliverOne();
    assert.equal(spool.status().batches, 2);
    assert.equal(await leftAfterKill(), 3, 'sent twice after a kill');
    clock.advance(2000);
    assert.equal(await leftAfterKill(), 2);
    deliverOne();
    spool.enqueue([testSample(4)]);
    assert.equal(await leftAfterKill(), 2);
    assert.equal(clock.timers, 0);
  });
});

describe('a count of what was sent', () => {
  it('comes with the next delivery or event that is written, or at once, and costs no commit of its own', async (t) => {
    const parent = directoryInMemory(t);
    const spool = await openTestSpool(join(parent, 'spool'), {}, { clock: new FakeClock() });
    t.after(() => spool.close());
    let copies = 0;
    const afterKill = async (): Promise<number | undefined> => {
      const copy = join(parent, `copy-${(copies += 1)}`);
      cpSync(join(parent, 'spool'), copy, { recursive: true });
      const killed = await openTestSpool(copy);
      const { sent } = killed;
      killed.close();
      return sent?.bytes;
    };
    assert.equal(await afterKill(), undefined);
    spool.enqueue([testSample(1)]);
    const { bytesWritten } = spool.status();
    for (let bytes = 1; bytes <= 1000; bytes += 1) spool.keepSent({ day: 20_000, bytes }, 'along');
    assert.equal(spool.status().bytesWritten, bytesWritten);
    assert.deepEqual(spool.sent, { day: 20_000, bytes: 1000 });
    assert.equal(await afterKill(), undefined);
    spool.settle({ acked: spool.lease(1, 'fifo').map(({ key }) => key) });
    spool.enqueue([testSample(2)]);
    assert.equal(await afterKill(), 1000);
    spool.keepSent({ day: 20_000, bytes: 2000 }, 'along');
    spool.enqueue([testSample(3)]);
    assert.equal(await afterKill(), 1000, 'a batch alone writes no ledger');
    spool.note({ kind: 'quota', quota: 'x', limit: 1, state: 'reached' });
    assert.equal(await afterKill(), 2000);
    spool.keepSent({ day: 20_001, bytes: 7 }, 'now');
    assert.equal(await afterKill(), 7);
    spool.keepSent({ day: 20_001, bytes: 8 }, 'now');
    assert.equal(await afterKill(), 8);
  });
});

describe('several batches in one commit', () => {
  it('are stored all, or none where one cannot be', async (t) => {
    const spool = await openTestSpool(directoryInMemory(t), { bytesMax: 1_000_000 });
    t.after(() => spool.close());
    assert.deepEqual(
      spool.enqueueAll([[testSample(1)], [testSample(2), testSample(3)]]).map((key) => key?.seq),
      [1, 2],
    );
    assert.throws(() => spool.enqueueAll([[testSample(4)], [testSample(5, 900_000)]]), { code: 'SpoolFull' });
    assert.equal(spool.status().seq, 2);
    assert.equal(spool.enqueue([testSample(6)])?.seq, 3);
    assert.equal(drain(spool).delivered.size, 3);
  });
});

describe('events', () => {
  it('of one run are one, until it is leased', async (t) => {
    const spool = await openTestSpool(directoryInMemory(t));
    t.after(() => spool.close());
    const lose = (samples: number): void =>
      spool.note({ kind: 'samples-dropped', reason: 'quota', samples, from: samples, to: samples });
    for (let samples = 1; samples <= 3; samples += 1) lose(samples);
    assert.equal(spool.status().events, 2);
    const [, run] = spool.leaseEvents(9).map(({ payload }) => JSON.parse(payload.toString()) as StreamEvent);
    assert.partialDeepStrictEqual(run, { samples: 6, from: 1, to: 3 });
    lose(4);
    assert.equal(spool.status().events, 3);
  });

  it('come again until they are settled', async (t) => {
    const directory = directoryInMemory(t);
    let spool = await openTestSpool(directory);
    const ids = spool.leaseEvents(9).map(({ id }) => id);
    assert.deepEqual(spool.leaseEvents(9), []);
    spool.releaseEvents(ids);
    assert.deepEqual(
      spool.leaseEvents(9).map(({ id }) => id),
      ids,
    );
    spool.close();
    spool = await openTestSpool(directory);
    t.after(() => spool.close());
    assert.deepEqual(
      spool.leaseEvents(9).map(({ id }) => id),
      ids,
    );
    spool.settleEvents(ids);
    assert.equal(spool.status().events, 0);
  });

  it('are bounded: the older half gives way to a report of that', async (t) => {
    const spool = await openTestSpool(directoryInMemory(t), { bytesMax: 20_000_000 });
    t.after(() => spool.close());
    spool.enqueue([testSample(1)]);
    for (let count = 0; count < 10_000; count += 1) {
      spool.note({ kind: 'quota', quota: String(count), limit: 1, state: 'reached' });
    }
    assert.ok(spool.status().events <= 10_000);
    const { events } = drain(spool);
    assert.equal(events.length, 5002);
    const told = events.find(({ kind }) => kind === 'quarantined');
    assert.partialDeepStrictEqual(told, { seqFrom: 1, seqTo: 1, batches: 0 });
  });
});

describe('a ULID', () => {
  it('is 26 letters of Crockford’s alphabet, and orders by time', () => {
    const [earlier, later] = [ulid(1_763_842_123_456), ulid(1_763_842_123_457)];
    assert.match(earlier, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
    assert.ok(earlier < later);
    assert.equal(ulid(1_469_918_176_385).slice(0, 10), '01ARYZ6S41', 'the example of its specification');
    assert.notEqual(ulid(0), ulid(0));
  });
});
