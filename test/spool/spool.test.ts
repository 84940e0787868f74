import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chainNext, chainStart } from '../../src/messages/hash-chain.ts';
import type { EventBody, StreamEvent } from '../../src/messages/event.ts';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import type { Spool } from '../../src/spool/spool.ts';
import { acme, openTestSpool, testKeys, testSample } from '../support/spool.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { owned } from '../support/owned-origin.ts';

function seqs(batches: readonly { key: { seq: number } }[]): number[] {
  return batches.map(({ key }) => key.seq);
}

function events(spool: Spool): StreamEvent[] {
  return spool.leaseEvents(1000).map(({ payload }) => JSON.parse(payload.toString()) as StreamEvent);
}

function ofKind<Kind extends EventBody['kind']>(
  all: readonly StreamEvent[],
  kind: Kind,
): Extract<StreamEvent, { kind: Kind }>[] {
  return all.filter((event) => event.kind === kind) as Extract<StreamEvent, { kind: Kind }>[];
}

describe('spool', () => {
  it('gives back what it was given, chained, in publishing order', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let seq = 1; seq <= 5; seq += 1) {
      assert.deepEqual(spool.enqueue([testSample(seq * 10), testSample(seq * 10 + 1)]), {
        ...acme,
        epoch: spool.epoch,
        seq,
      });
    }
    const leased = spool.lease(10, 'fifo');
    assert.deepEqual(seqs(leased), [1, 2, 3, 4, 5]);
    let chain = chainStart;
    for (const { payload, key } of leased) {
      const batch = JSON.parse(payload.toString()) as TelemetryBatch;
      assert.deepEqual({ ...acme, epoch: batch.epoch, seq: batch.seq }, key);
      assert.equal(batch.samples[0]?.ts, key.seq * 10);
      chain = chainNext(chain, payload);
    }
    const claims = spool.checkpointDue();
    assert.equal(claims?.chain, chain.toString('hex'));
    assert.deepEqual([claims?.seq, claims?.samples, claims?.from, claims?.to], [5, 10, 10, 51]);
    spool.saveCheckpoint('a.b.c', 5);
    assert.equal(spool.checkpointDue(), undefined);
    assert.equal(spool.lastCheckpoint(), 'a.b.c');
  });

  it('has an age for what waits, and none for what was delivered and is about to be removed', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (const ts of [1000, 2000, 3000]) spool.enqueue([testSample(ts)]);
    const first = spool.lease(1, 'fifo');
    const beforeMs = performance.now();
    const oldest = spool.status().oldestAgeMs!;
    spool.settle({ acked: first.map(({ key }) => key) });
    const { batches, oldestAgeMs } = spool.status();
    const tookMs = performance.now() - beforeMs;
    assert.equal(batches, 2);
    const agedMs = oldestAgeMs! + 1000 - oldest;
    assert.ok(agedMs >= -5 && agedMs <= tookMs + 5, `${oldest} ms, then ${oldestAgeMs} ms`);
    spool.settle({ acked: spool.lease(2, 'fifo').map(({ key }) => key) });
    assert.deepEqual([spool.status().batches, spool.status().oldestAgeMs], [0, null]);
  });

  it('goes on with epoch, seq and chain after it was closed', async (t) => {
    const directory = temporaryDirectory(t);
    const first = await openTestSpool(directory);
    const { epoch } = first;
    for (let seq = 1; seq <= 600; seq += 1) first.enqueue([testSample(seq)]);
    first.settle({ acked: first.lease(300, 'fifo').map(({ key }) => key) });
    const chain = first.checkpointDue()?.chain;
    first.close();
    const second = await openTestSpool(directory);
    t.after(() => second.close());
    assert.equal(second.epoch, epoch);
    assert.equal(second.checkpointDue()?.chain, chain);
    assert.equal(second.enqueue([testSample(601)])?.seq, 601);
    assert.equal(second.status().batches, 301);
    assert.equal(second.status().samples, 301);
    assert.equal(seqs(second.lease(1, 'fifo'))[0], 301);
  });

  it('keeps what is released, loses what is acked, quarantines what is rejected', async (t) => {
    const directory = temporaryDirectory(t);
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    for (let ts = 1; ts <= 4; ts += 1) spool.enqueue([testSample(ts)]);
    const [one, two, three, four] = spool.lease(4, 'fifo').map(({ key }) => key);
    assert.deepEqual(spool.lease(4, 'fifo'), []);
    spool.settle({
      acked: [one!],
      rejected: [
        { ...two!, reason: 'payload format invalid' },
        { ...three!, reason: 'payload format invalid' },
      ],
      released: [four!],
    });
    assert.deepEqual(seqs(spool.lease(4, 'fifo')), [4]);
    const [run, ...more] = ofKind(events(spool), 'quarantined');
    assert.deepEqual(more, []);
    assert.deepEqual([run?.seqFrom, run?.seqTo, run?.batches, run?.samples], [2, 3, 2, 2]);
    assert.deepEqual([run?.from, run?.to], [2, 3]);
    assert.equal(spool.status().quarantined, 2);
  });

  it('puts what was quarantined back into its place, and keeps that over a restart', async (t) => {
    const directory = temporaryDirectory(t);
    let spool = await openTestSpool(directory);
    t.after(() => spool.close());
    for (let ts = 1; ts <= 4; ts += 1) spool.enqueue([testSample(ts)]);
    const keys = spool.lease(4, 'fifo').map(({ key }) => key);
    const reason = 'larger than the broker took for a day';
    spool.settle({
      acked: [keys[3]!],
      rejected: keys.slice(0, 2).map((key) => ({ ...key, reason })),
      released: [keys[2]!],
    });
    assert.deepEqual([spool.status().batches, spool.status().samples], [1, 1]);
    assert.equal(spool.retryRejected(), 2);
    assert.equal(spool.retryRejected(), 0);
    assert.deepEqual([spool.status().batches, spool.status().samples], [3, 3]);
    spool.close();
    spool = await openTestSpool(directory);
    assert.deepEqual(seqs(spool.lease(4, 'fifo')), [1, 2, 3]);
    spool.settle({ acked: keys.slice(0, 3) });
    assert.deepEqual([spool.status().batches, spool.status().samples], [0, 0]);
  });

  it('sends the newest first after an outage, then the backlog from its oldest on', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 200; ts += 1) spool.enqueue([testSample(ts)]);
    assert.deepEqual(seqs(spool.lease(4, 'live-first')), [200, 1, 2, 3]);
    spool.enqueue([testSample(201)]);
    spool.enqueue([testSample(202)]);
    assert.deepEqual(seqs(spool.lease(4, 'live-first')), [201, 202, 4, 5]);
  });

  it('keeps the backlog back where it is told to, and under fifo all that is behind it', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 3; ts += 1) spool.enqueue([testSample(ts)]);
    const [back] = spool.lease(1, 'fifo');
    spool.settle({ released: [back!.key] });
    spool.beginLive();
    for (let ts = 4; ts <= 5; ts += 1) spool.enqueue([testSample(ts)]);
    assert.deepEqual(spool.lease(9, 'fifo', 'live'), []);
    assert.deepEqual(seqs(spool.lease(1, 'live-first', 'live')), [4]);
    assert.deepEqual(seqs(spool.lease(9, 'live-first', 'live')), [5]);
    const backlog = spool.lease(9, 'fifo', 'all');
    assert.deepEqual(seqs(backlog), [1, 2, 3]);
    spool.settle({ acked: backlog.map(({ key }) => key) });
    spool.enqueue([testSample(6)]);
    assert.deepEqual(seqs(spool.lease(9, 'fifo', 'live')), [6]);
  });

  it('keeps sending the newest when too many live batches wait, and moves the rest to the backlog', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 100; ts += 1) spool.enqueue([testSample(ts)]);
    assert.deepEqual(seqs(spool.lease(9, 'live-first', 'live')), [100]);
    assert.deepEqual(seqs(spool.lease(2, 'live-first', 'all')), [1, 2]);
  });

  it('says how much of its room is in use, which an empty one is not though its file stays', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t), { bytesMax: 2_000_000 });
    t.after(() => spool.close());
    const empty = spool.bytesInUse();
    for (let ts = 1; ts <= 300; ts += 1) spool.enqueue([testSample(ts, 6000)]);
    const { bytes, bytesMax, dropped } = spool.status();
    assert.ok(dropped > 0);
    const full = spool.bytesInUse();
    assert.ok(full > 0.9 * bytesMax && full <= bytes, `${full} of ${bytesMax}`);
    for (let batches = spool.lease(64, 'fifo'); batches.length > 0; batches = spool.lease(64, 'fifo')) {
      spool.settle({ acked: batches.map(({ key }) => key) });
    }
    spool.enqueue([testSample(0)]);
    assert.equal(spool.status().bytes, bytes);
    assert.ok(spool.bytesInUse() < empty + 100_000, `${spool.bytesInUse()} after ${empty}`);
  });

  it('sends what came back unanswered before the backlog', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 100; ts += 1) spool.enqueue([testSample(ts)]);
    const inFlight = spool.lease(3, 'live-first').map(({ key }) => key);
    assert.deepEqual(
      inFlight.map(({ seq }) => seq),
      [100, 1, 2],
    );
    spool.settle({ acked: [inFlight[1]!], released: [inFlight[0]!, inFlight[2]!] });
    spool.beginLive();
    spool.enqueue([testSample(101)]);
    assert.deepEqual(seqs(spool.lease(5, 'live-first')), [101, 2, 100, 3, 4]);
  });

  it('keeps the newest of the batches that were refused', async (t) => {
    const directory = temporaryDirectory(t);
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    for (let ts = 1; ts <= 260; ts += 1) spool.enqueue([testSample(ts)]);
    spool.settle({ rejected: spool.lease(260, 'fifo').map(({ key }) => ({ ...key, reason: 'bad' })) });
    assert.equal(spool.status().quarantined, 260);
    const [run] = ofKind(events(spool), 'quarantined');
    assert.deepEqual([run?.seqFrom, run?.seqTo, run?.batches], [1, 260, 260]);
  });

  it('drops the oldest when full, and says what', async (t) => {
    const directory = temporaryDirectory(t);
    const spool = await openTestSpool(directory, { bytesMax: 1_000_000 });
    t.after(() => spool.close());
    for (let ts = 1; ts <= 300; ts += 1) assert.equal(spool.enqueue([testSample(ts, 4000)])?.seq, ts);
    const waiting = seqs(spool.lease(300, 'fifo'));
    const [run, ...more] = ofKind(events(spool), 'dropped');
    assert.deepEqual(more, []);
    assert.deepEqual([run?.seqFrom, run?.seqTo, run?.batches], [1, waiting[0]! - 1, 300 - waiting.length]);
    assert.deepEqual([run?.from, run?.to], [1, run?.batches]);
    assert.equal(run?.chainBefore, chainStart.toString('hex'));
    assert.match(run?.chainAfter ?? '', /^[0-9a-f]{64}$/);
    assert.ok(spool.status().bytes <= 1_000_000);
    assert.equal(spool.status().dropped, run?.batches);
  });

  it('refuses the newest when full and told so, uses no seq for it, and says what', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t), {
      bytesMax: 1_000_000,
      whenFull: 'drop-newest',
    });
    t.after(() => spool.close());
    let stored = 0;
    for (let ts = 1; ts <= 300; ts += 1) if (spool.enqueue([testSample(ts, 4000)])) stored += 1;
    assert.ok(stored > 50 && stored < 150, `${stored}`);
    assert.equal(spool.status().seq, stored);
    const [run] = ofKind(events(spool), 'samples-dropped');
    assert.deepEqual([run?.samples, run?.from, run?.to], [300 - stored, stored + 1, 300]);
    spool.settle({ acked: spool.lease(50, 'fifo').map(({ key }) => key) });
    assert.equal(spool.enqueue([testSample(301, 4000)])?.seq, stored + 1);
  });

  it('is another tenant’s, another gateway’s or another process’s, and says so', async (t) => {
    const directory = temporaryDirectory(t);
    const spool = await openTestSpool(directory);
    spool.enqueue([testSample(1)]);
    await assert.rejects(openTestSpool(directory), { code: 'SpoolHeld' });
    spool.close();
    const umbra = { origin: owned({ tenant: 'umbra', gateway: 'umbra_gw-1' }) };
    await assert.rejects(openTestSpool(directory, {}, umbra), { code: 'SpoolForeign' });
    await assert.rejects(openTestSpool(directory, {}, { ...umbra, keys: testKeys('umbra') }), {
      code: 'SpoolForeign',
    });
    const moved = { origin: { ...acme, gateway: 'acme_gw-0002' } };
    await assert.rejects(openTestSpool(directory, {}, moved), { code: 'SpoolForeign' });
    await assert.rejects(openTestSpool(directory, {}, { keys: testKeys('umbra') }), {
      code: 'KeyUnavailable',
    });
    const again = await openTestSpool(directory);
    assert.equal(again.lease(2, 'fifo').length, 1);
    again.close();
  });

  it('changes data keys and the key that wraps them without a break in the stream', async (t) => {
    const directory = temporaryDirectory(t);
    const spool = await openTestSpool(directory);
    spool.enqueue([testSample(1)]);
    await spool.rotateKey();
    spool.enqueue([testSample(2)]);
    await spool.rotateKey();
    await spool.rekey(testKeys('next'));
    spool.enqueue([testSample(3)]);
    spool.close();
    await assert.rejects(openTestSpool(directory), { code: 'KeyUnavailable' });
    const again = await openTestSpool(directory, {}, { keys: testKeys('next') });
    t.after(() => again.close());
    assert.deepEqual(seqs(again.lease(5, 'fifo')), [1, 2, 3]);
  });
});
