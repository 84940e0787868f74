import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { MerestoneError } from '../../src/base/error.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { channels } from '../../src/messages/topic.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { ConsumerBench } from '../support/consumer-bench.ts';
import { randomBytesFrom } from '../support/random.ts';
import { epochs, SealedStream } from '../support/sealed-stream.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

const epochOf = (n: number): string => `01JD3W5V2K${String(n).padStart(16, '0')}`;

describe('a bad message of a gateway', () => {
  const folder = temporaryDirectory({ after });

  it('is a finding against it, kept aside, and the next message is taken', async () => {
    const bench = new ConsumerBench();
    const stream = new SealedStream(beta).appendMany(20);
    const deep = '['.repeat(10_000) + ']'.repeat(10_000);
    let seq = 0;
    for (const channel of ['telemetry', 'event', 'meta', 'status'] as const) {
      await bench.take(channel, deep, acme);
      await bench.take('telemetry', stream.payload(++seq), beta);
    }
    assert.deepEqual(
      bench.notices.map(({ kind, origin }) => [kind, origin]),
      ['telemetry', 'event', 'meta', 'status'].map((channel) => [`${channel}-refused`, acme]),
    );
    assert.equal(bench.rows.length, 2 * seq);
    assert.equal([...bench.store.parked.refused()].length, 4);
  });

  it('is blamed on its gateway, also if it meets an unforeseen fault of ours', async () => {
    const faults: unknown[] = [
      new RangeError('Invalid string length'),
      new TypeError('undefined is not a function'),
      'a string',
      new Database.SqliteError('string or blob too big', 'SQLITE_TOOBIG'),
      Object.assign(new Error('timestamp out of range'), { code: '22008' }),
    ];
    const written: number[] = [];
    let fault: unknown;
    const bench = new ConsumerBench({
      sink: {
        write: async (rows) => {
          if (fault !== undefined) throw fault;
          written.push(rows[0]!.seq);
        },
        mark: () => undefined,
        close: async () => {},
      },
    });
    const stream = new SealedStream(acme).appendMany(faults.length + 1);
    for (const [index, each] of faults.entries()) {
      fault = each;
      await bench.take('telemetry', stream.payload(index + 1), acme);
    }
    assert.equal(bench.of('telemetry-refused').length, faults.length);
    fault = undefined;
    await bench.take('telemetry', stream.payload(6), acme);
    // Nothing that was not written counts as here: played again, all of it comes.
    for (let seq = 1; seq <= faults.length; seq++) await bench.take('telemetry', stream.payload(seq), acme);
    assert.deepEqual(written, [6, 1, 2, 3, 4, 5]);
    assert.equal(bench.consumer.counts.duplicates, 0);
  });

  it('ends the consumer only where rows or state cannot be written', async () => {
    for (const fault of [
      new MerestoneError('Io', 'rows cannot be written'),
      new MerestoneError('OutputClosed', 'nobody reads'),
      new Database.SqliteError('database or disk is full', 'SQLITE_FULL'),
    ]) {
      const write = () => Promise.reject(fault);
      const sink = { write, mark: () => undefined, close: async () => {} };
      const bench = new ConsumerBench({ sink });
      const payload = new SealedStream(acme).append();
      await assert.rejects(
        bench.take('telemetry', payload, acme),
        (error) => error instanceof MerestoneError,
      );
    }
  });

  it('is told in lines that have an end, and the rest in numbers', async () => {
    const bench = new ConsumerBench();
    for (let n = 0; n < 5000; n++) await bench.take('telemetry', '{', acme);
    await bench.take('telemetry', '{', beta);
    assert.equal(bench.of('telemetry-refused').filter(({ origin }) => origin!.tenant === 'acme').length, 200);
    assert.equal(bench.of('telemetry-refused').filter(({ origin }) => origin!.tenant === 'beta').length, 1);
    bench.consumer.end();
    assert.deepEqual(bench.of('suppressed')[0]!.details, { kinds: { 'telemetry-refused': 4800 } });
    assert.equal(bench.consumer.counts.refused, 5001);
  });

  it('takes room for refused messages that is bounded, and says what is not kept', async () => {
    const bench = new ConsumerBench();
    const junk = Buffer.alloc(10_000, 'x');
    for (let n = 0; n < 20; n++) await bench.take('telemetry', junk, acme);
    const kept = [...bench.store.parked.refused()];
    assert.equal(kept.length, 9);
    assert.match(bench.notices.at(-1)!.message, /not kept$/);
    assert.equal(bench.notices.at(-1)!.details!['kept'], false);
  });

  it('is taken again when a version can read it', async () => {
    const file = join(folder, 'replay.state');
    const before = new ConsumerBench({ file });
    const stream = new SealedStream(acme).appendMany(2);
    const newer = stream.payload(1).toString().replace('"v":1', '"v":2');
    await before.take('telemetry', newer, acme);
    await before.take('telemetry', stream.payload(2), acme);
    assert.deepEqual(
      [...before.store.parked.refused()].map(({ reason }) => reason.startsWith('v: ')),
      [true],
    );
    before.store.close();
    const store = new StateStore(file, asideLimits);
    assert.equal(store.parked.release(), 1);
    assert.deepEqual(store.parked.oldest(acme)!.arrival.payload.toString(), newer);
    store.close();
  });

  for (const channel of channels) {
    it(`does not end the consumer on ${channel}, for any bytes`, async () => {
      const bench = new ConsumerBench();
      for (let n = 0; n < 300; n++) {
        await bench.take(channel, randomBytesFrom(n, n % 60), acme);
      }
      await bench.take('telemetry', new SealedStream(beta).append(), beta);
      assert.equal(bench.rows.length, 2);
    });
  }
});

describe('a gateway of many epochs and gaps', () => {
  it('does not keep another tenant’s missing batch from being named', async () => {
    const bench = new ConsumerBench();
    const honest = new SealedStream(beta).appendMany(5);
    for (const seq of [1, 2, 4, 5]) await bench.take('telemetry', honest.payload(seq), beta);
    for (let epoch = 1; epoch <= 1100; epoch++) {
      const stream = new SealedStream(acme, epochOf(epoch)).appendMany(5);
      for (const seq of [1, 3, 5]) await bench.take('telemetry', stream.payload(seq), acme);
    }
    bench.pass();
    const named = bench.of('gap').filter(({ origin }) => origin!.tenant === 'beta');
    assert.deepEqual(
      named.map(({ details }) => details),
      [{ from: 3, to: 3 }],
    );
  });

  it('is one of 1,500 of which each has its gap named', async () => {
    const bench = new ConsumerBench();
    const streams = Array.from({ length: 1500 }, (_, n) => {
      return new SealedStream({ tenant: `t${n % 300}`, gateway: `gw-${n}` }).appendMany(3);
    });
    for (const stream of streams) {
      for (const seq of [1, 3]) await bench.take('telemetry', stream.payload(seq), stream.origin);
    }
    bench.pass();
    const named = new Set(bench.of('gap').map(({ origin }) => origin!.gateway));
    assert.equal(named.size, 1500);
    assert.equal(
      [...bench.store.allStreams()].filter(([, ledger]) => ledger.gaps().length === 1).length,
      1500,
    );
  });

  it('costs little time in each second, and memory that has an end', async () => {
    const bench = new ConsumerBench();
    const gaps = 1024;
    const tickMs: number[] = [];
    for (let epoch = 1; epoch <= 6; epoch++) {
      const stream = new SealedStream(acme, epochOf(epoch)).appendMany(2 * gaps + 1);
      for (let seq = 1; seq <= 2 * gaps; seq += 2) await bench.take('telemetry', stream.payload(seq), acme);
      const before = process.cpuUsage();
      bench.consumer.tick();
      const { user, system } = process.cpuUsage(before);
      tickMs.push((user + system) / 1000);
    }
    assert.equal([...bench.store.cachedStreams()].length, 4);
    assert.ok(Math.max(...tickMs) < 250, tickMs.join());
    const before = process.cpuUsage();
    for (let tick = 0; tick < 100; tick++) bench.consumer.tick();
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 500_000, 'a tick in which nothing changed costs next to nothing');
  });

  it('has the oldest folded, which is told, and whose batches are neither doubled nor thrown away', async () => {
    const bench = new ConsumerBench();
    const first = new SealedStream(acme, epochOf(0)).appendMany(5);
    for (const seq of [1, 2, 4]) await bench.take('telemetry', first.payload(seq), acme);
    for (let epoch = 1; epoch <= 70; epoch++) {
      await bench.take('telemetry', new SealedStream(acme, epochOf(epoch)).append(), acme);
    }
    const folded = bench.of('epoch-folded');
    assert.deepEqual([folded[0]!.epoch, folded[0]!.details], [first.epoch, { received: 3, missing: 1 }]);
    assert.equal(folded.length, 7);
    assert.equal([...bench.store.allStreams()].length, 64);
    const rows = bench.rows.length;
    await bench.take('telemetry', first.payload(2), acme);
    await bench.take('telemetry', first.payload(3), acme);
    assert.equal(bench.rows.length, rows);
    const kept = [...bench.store.parked.refused()];
    assert.equal(kept.length, 2);
    assert.match(kept[0]!.reason, /is over: 64 others came after it/);
    // The one that goes on is never folded, however many come beside it.
    const current = new SealedStream(beta, epochs[0]).appendMany(100);
    for (let n = 0; n < 100; n++) {
      await bench.take('telemetry', current.payload(n + 1), beta);
      await bench.take('telemetry', new SealedStream(beta, epochOf(1000 + n)).append(), beta);
    }
    const ledger = bench.store.seenStream({ ...beta, epoch: current.epoch })!;
    assert.deepEqual(ledger.received.runs, [[1, 100]]);
  });
});

describe('a second chain over old numbers', () => {
  /** The same epoch from `from` on, as a spool file that was set back makes it. */
  const setBack = (stream: SealedStream, from: number, to: number): SealedStream => {
    const again = new SealedStream(stream.origin, stream.epoch);
    for (const payload of stream.payloads.slice(0, from - 1))
      again.append(JSON.parse(payload.toString()).samples);
    for (let seq = from; seq <= to; seq++) {
      again.append([{ device: 'meter', ts: 2e12 + seq, values: { power: 1000 + seq } }]);
    }
    return again;
  };

  it('is forked, a security finding, and every row of it is kept, marked', async () => {
    const bench = new ConsumerBench();
    const stream = new SealedStream(acme).appendMany(300);
    for (let seq = 1; seq <= 300; seq++) await bench.take('telemetry', stream.payload(seq), acme);
    const restored = setBack(stream, 172, 400);
    for (let seq = 172; seq <= 400; seq++) await bench.take('telemetry', restored.payload(seq), acme);
    const forked = bench.of('forked');
    assert.deepEqual(
      forked.map(({ severity, details }) => [severity, details]),
      [['security', { seq: 173, fork: 1 }]],
    );
    const marked = bench.rows.filter(({ fork }) => fork === 1);
    assert.deepEqual(
      marked.map(({ seq, value }) => [seq, value]),
      Array.from({ length: 129 }, (_, n) => [172 + n, 1172 + n]),
    );
    const beyond = bench.rows.filter(({ seq, point }) => seq > 300 && point === 'power');
    assert.deepEqual([beyond.length, beyond[0]!.fork], [100, undefined]);
    // Both chains again: all of it was here.
    const rows = bench.rows.length;
    for (let seq = 172; seq <= 300; seq++) {
      await bench.take('telemetry', restored.payload(seq), acme);
      await bench.take('telemetry', stream.payload(seq), acme);
    }
    assert.equal(bench.rows.length, rows);
    assert.equal(bench.of('forked').length, 1);
    bench.pass();
    assert.deepEqual(bench.of('gap'), [], 'a second chain has no gaps of its own');
  });

  it('is kept apart up to four times, over a restart, and beyond that aside', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'fork-')), 'state');
    let bench = new ConsumerBench({ file });
    const contents = Array.from({ length: 6 }, (_, n) => {
      const stream = new SealedStream(acme);
      stream.append([{ device: 'meter', ts: 1, values: { power: n } }]);
      return stream.payload(1);
    });
    const forks: (number | undefined)[] = [];
    for (const payload of contents) {
      await bench.take('telemetry', payload, acme);
      forks.push(...bench.rows.map(({ fork }) => fork));
      bench.store.close();
      bench = new ConsumerBench({ file });
    }
    assert.deepEqual(forks, [undefined, 1, 2, 3, 4]);
    assert.equal([...bench.store.parked.refused()].length, 1);
    for (const payload of contents.slice(0, 5)) await bench.take('telemetry', payload, acme);
    assert.equal(bench.consumer.counts.duplicates, 5);
    bench.store.close();
    rmSync(join(file, '..'), { recursive: true });
  });

  it('is told from a late batch of a gap that was given up: that one is welcome', async () => {
    const bench = new ConsumerBench();
    const stream = new SealedStream(acme).appendMany(2100);
    for (let seq = 1; seq <= 2100; seq += 2) await bench.take('telemetry', stream.payload(seq), acme);
    assert.ok(bench.of('gap-closed-unfilled').length > 0);
    await bench.take('telemetry', stream.payload(2), acme);
    assert.equal(bench.rows.at(-1)!.seq, 2);
    assert.deepEqual(bench.of('altered'), []);
  });
});
