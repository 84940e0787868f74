import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { LeasedBatch } from '../../src/spool/spool.ts';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import { drain } from '../support/spool-damage.ts';
import { openTestSpool, testSample } from '../support/spool.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('a spool that was set back', () => {
  it('leaves its epoch by a kept head that is ahead, and moves what was stored since', async (t) => {
    const directory = temporaryDirectory(t);
    const [living, image] = [join(directory, 'living'), join(directory, 'image')];
    const first = await openTestSpool(living);
    for (let ts = 1; ts <= 4; ts += 1) first.enqueue([testSample(ts)]);
    const { epoch } = first;
    first.close();
    cpSync(living, image, { recursive: true });
    const later = await openTestSpool(living);
    for (let ts = 5; ts <= 9; ts += 1) later.enqueue([testSample(ts)]);
    const { seq, chain, to } = later.checkpointDue()!;
    later.close();

    let spool = await openTestSpool(image);
    for (let ts = 10; ts <= 12; ts += 1) spool.enqueue([testSample(ts)]);
    assert.equal(spool.leaveIfSetBack({ epoch: 'another', seq, chain, to }), false);
    assert.equal(spool.leaveIfSetBack({ epoch, seq: 3, chain, to }), false);
    assert.equal(spool.leaveIfSetBack({ epoch, seq, chain, to }), true);
    assert.notEqual(spool.epoch, epoch);
    spool.enqueue([testSample(13)]);
    assert.deepEqual(spool.checkpointDue()?.previous, { epoch, seq, chain });
    assert.equal(spool.lastCheckpoint(), undefined);
    const renewed = spool.epoch;
    spool.close();
    spool = await openTestSpool(image);
    t.after(() => spool.close());
    assert.equal(spool.status().batches, 8);
    const { delivered, events } = drain(spool);
    const timesOf = (payload: Buffer): number[] =>
      (JSON.parse(payload.toString()) as TelemetryBatch).samples.map((sample) => sample.ts);
    const byKey = new Map([...delivered].map(([key, payload]) => [key, timesOf(payload)]));
    for (let each = 1; each <= 4; each += 1) {
      assert.deepEqual(byKey.get(`${epoch}/${each}`), [each]);
      assert.deepEqual(byKey.get(`${renewed}/${each}`), [each + 9]);
    }
    const started = events.findLast((event) => event.kind === 'epoch-started');
    assert.match(started!.reason, /set back/);
  });

  it('stays in it where the kept head is its own', async (t) => {
    const directory = temporaryDirectory(t);
    const first = await openTestSpool(directory);
    for (let ts = 1; ts <= 4; ts += 1) first.enqueue([testSample(ts)]);
    const kept = first.checkpointDue()!;
    first.enqueue([testSample(5)]);
    first.close();
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    assert.equal(spool.leaveIfSetBack(kept), false);
    const batches: LeasedBatch[] = spool.lease(9, 'fifo');
    assert.equal(batches.length, 5);
  });

  it('leaves it where another head was signed at the same place', async (t) => {
    const directory = temporaryDirectory(t);
    const first = await openTestSpool(directory);
    first.enqueue([testSample(1)]);
    const kept = { ...first.checkpointDue()!, chain: 'ab'.repeat(32) };
    first.close();
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    assert.equal(spool.leaveIfSetBack(kept), true);
  });
});
