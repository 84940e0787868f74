import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Batcher } from '../../../../src/silo/tenant/ingest/batcher.ts';

const sample = (bytes: number): { json: string; ts: number } => ({ json: 'x'.repeat(bytes), ts: 0 });

describe('batcher', () => {
  it('is due one linger after the first sample of a batch, regardless of later ones', () => {
    const batcher = new Batcher({ lingerMs: 1000, samplesMax: 10, bytesMax: 1000 });
    assert.equal(batcher.dueAtMs, undefined);
    batcher.add(sample(1), 500);
    batcher.add(sample(1), 900);
    assert.equal(batcher.dueAtMs, 1500);
    batcher.take();
    assert.equal(batcher.dueAtMs, undefined);
  });

  it('keeps every sample once, in order, and never passes a limit', () => {
    const limits = { lingerMs: 1000, samplesMax: 7, bytesMax: 50 };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 }), (sizes) => {
        const batcher = new Batcher(limits);
        const samples = sizes.map(sample);
        const batches = samples.flatMap((each) => {
          const completed = batcher.add(each, 0);
          return completed === undefined ? [] : [completed];
        });
        batches.push(batcher.take());
        assert.deepEqual(batches.flat(), samples);
        for (const batch of batches) {
          assert.ok(batch.length <= limits.samplesMax);
          assert.ok(batch.reduce((sum, each) => sum + each.json.length + 1, 0) <= limits.bytesMax);
        }
      }),
    );
  });

  it('lets a single sample larger than the limit through alone', () => {
    const batcher = new Batcher({ lingerMs: 1000, samplesMax: 7, bytesMax: 50 });
    batcher.add(sample(10), 0);
    assert.equal(batcher.add(sample(90), 0)?.length, 1);
    assert.equal(batcher.add(sample(10), 0)?.length, 1);
    assert.equal(batcher.size, 1);
  });

  it('keeps below a limit that is lowered while a batch is open, and never above the configured one', () => {
    const batcher = new Batcher({ lingerMs: 1000, samplesMax: 100, bytesMax: 100 });
    for (let count = 0; count < 9; count += 1) assert.equal(batcher.add(sample(9), 0), undefined);
    const parts = batcher.limit(35);
    assert.deepEqual(
      parts.map((part) => part.length),
      [3, 3, 3],
    );
    assert.equal(batcher.size, 0);
    const sizes = Array.from({ length: 8 }, () => batcher.add(sample(9), 0)?.length);
    assert.deepEqual(sizes, [undefined, undefined, undefined, 3, undefined, undefined, 3, undefined]);
    assert.deepEqual(batcher.limit(1_000_000), []);
    batcher.take();
    const lifted = Array.from({ length: 11 }, () => batcher.add(sample(9), 0)?.length);
    assert.deepEqual(lifted.slice(-1), [10]);
    // A sample that is larger by itself is a batch by itself.
    batcher.take();
    batcher.limit(0);
    assert.equal(batcher.add(sample(9), 0), undefined);
    assert.equal(batcher.add(sample(9), 0)?.length, 1);
  });
});
