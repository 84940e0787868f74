import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  ascending,
  countOf,
  difference,
  has,
  runsOf,
  withMember,
  withoutMember,
} from '../../src/base/ranges.ts';

const members = fc.uniqueArray(fc.integer({ min: 0, max: 40 }));
const inOrder = (set: Iterable<number>): number[] => [...set].sort((a, b) => a - b);

describe('runs', () => {
  it('are a set of numbers', () => {
    fc.assert(
      fc.property(members, members, (added, removed) => {
        const set = new Set(added);
        let runs = added.reduce(withMember, []);
        for (const member of removed) {
          set.delete(member);
          runs = withoutMember(runs, member);
        }
        assert.deepEqual([...ascending(runs)], inOrder(set));
        assert.equal(countOf(runs), set.size);
        for (let number = 0; number <= 40; number += 1) assert.equal(has(runs, number), set.has(number));
        assert.deepEqual(runs, runsOf(inOrder(set)));
        for (const [index, [from]] of runs.entries())
          assert.ok(index === 0 || from > runs[index - 1]![1] + 1);
      }),
    );
  });

  it('differ as sets do', () => {
    fc.assert(
      fc.property(members, members, (a, b) => {
        const rest = difference(runsOf(inOrder(a)), runsOf(inOrder(b)));
        assert.deepEqual([...ascending(rest)], inOrder(a.filter((member) => !b.includes(member))));
      }),
    );
  });

  it('are walked from anywhere', () => {
    const runs = runsOf([1, 2, 3, 7, 8]);
    assert.deepEqual([...ascending(runs, 3)], [3, 7, 8]);
    assert.deepEqual([...ascending(runs, 9)], []);
  });
});
