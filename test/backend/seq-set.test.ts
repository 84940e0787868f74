import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatRanges, SeqSet, type SeqRange } from '../../src/backend/seq-set.ts';

const range = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 8 }))
  .map(([from, length]): SeqRange => [from, from + length]);

describe('SeqSet', () => {
  it('is a set, for any members in any order', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), range, (added, [from, to]) => {
        const set = new SeqSet();
        const model = new Set<number>();
        for (const [low, high] of added) {
          set.add(low, high);
          for (let seq = low; seq <= high; seq++) model.add(seq);
        }
        for (let seq = 0; seq <= 70; seq++) assert.equal(set.has(seq), model.has(seq));
        assert.equal(set.size, model.size);
        const missing = set.missing(from, to).flatMap(([low, high]) => numbers(low, high));
        assert.deepEqual(
          missing,
          numbers(from, to).filter((seq) => !model.has(seq)),
        );
        for (const [index, [low, high]] of set.runs.entries()) {
          assert.ok(low <= high);
          // Runs that touched would be one.
          assert.ok(index === 0 || set.runs[index - 1]![1] < low - 1);
        }
        assert.deepEqual(new SeqSet(set.runs as SeqRange[]).runs, set.runs);
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps an endless stream in one run', () => {
    const set = new SeqSet();
    for (let seq = 1; seq <= 100_000; seq++) set.add(seq);
    assert.deepEqual(set.runs, [[1, 100_000]]);
    assert.equal(set.first, 1);
    assert.equal(set.last, 100_000);
  });

  it('is written for people', () => {
    assert.equal(
      formatRanges([
        [7, 7],
        [9, 12],
      ]),
      '7, 9–12',
    );
    assert.equal(
      formatRanges(
        [
          [1, 1],
          [3, 3],
          [5, 5],
        ],
        2,
      ),
      '1, 3, and 1 more runs',
    );
  });
});

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
