import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Acceptance, type BatchCounts } from '../../../../src/silo/tenant/forward/acceptance.ts';

/** The batches that are stored, accepted and set aside within a second. */
interface Second {
  stored: number;
  accepted: number;
  aside: number;
}

/** Plays these seconds; how long none was accepted after each. */
function play(seconds: readonly Second[]): (number | null)[] {
  const counts: BatchCounts = { seq: 7, waiting: 0, accepted: 0 };
  const acceptance = new Acceptance({ ...counts });
  return seconds.map(({ stored, accepted, aside }, second) => {
    counts.seq += stored;
    counts.waiting += stored;
    const taken = Math.min(accepted, counts.waiting);
    counts.waiting -= taken;
    counts.accepted += taken;
    counts.waiting -= Math.min(aside, counts.waiting);
    return acceptance.unacceptedMs({ ...counts }, 1000 * second);
  });
}

const stored = { stored: 1, accepted: 0, aside: 0 };
const nothing = { stored: 0, accepted: 0, aside: 0 };
const delivered = { stored: 1, accepted: 1, aside: 0 };

describe('time without an accepted batch', () => {
  it('is null while every batch is accepted, or there are none', () => {
    assert.deepEqual(play([nothing, delivered, delivered, nothing]), [null, null, null, null]);
  });

  it('counts from the first stored batch, and ends with the first accepted one', () => {
    assert.deepEqual(play([nothing, stored, stored, nothing]), [null, 0, 1000, 2000]);
    assert.deepEqual(play([stored, stored, delivered, { ...nothing, accepted: 2 }]), [0, 1000, 0, null]);
  });

  it('goes on while batches are set aside and none is accepted, even if none waits', () => {
    const setAside = { stored: 1, accepted: 0, aside: 1 };
    assert.deepEqual(play([setAside, setAside, nothing]), [0, 1000, 2000]);
    assert.deepEqual(play([setAside, delivered]), [0, null]);
  });

  it('counts an earlier backlog from the first call', () => {
    const acceptance = new Acceptance({ seq: 900, waiting: 0, accepted: 0 });
    const counts = { seq: 900, waiting: 500, accepted: 0 };
    assert.equal(acceptance.unacceptedMs(counts, 5000), 0);
    assert.equal(acceptance.unacceptedMs({ ...counts, waiting: 400, accepted: 100 }, 9000), 0);
    assert.equal(acceptance.unacceptedMs({ ...counts, waiting: 400, accepted: 100 }, 9500), 500);
  });

  it('matches a model over random sequences', () => {
    const second = fc.record({ stored: fc.nat(2), accepted: fc.nat(2), aside: fc.nat(1) });
    fc.assert(
      fc.property(fc.array(second, { maxLength: 60 }), (seconds) => {
        let since: number | null = null;
        let waiting = 0;
        const expected = seconds.map((each, index) => {
          waiting += each.stored;
          const taken = Math.min(each.accepted, waiting);
          waiting -= taken;
          waiting -= Math.min(each.aside, waiting);
          if (taken > 0) since = waiting > 0 ? index : null;
          else if (waiting > 0 || each.stored > 0) since ??= index;
          return since === null ? null : 1000 * (index - since);
        });
        assert.deepEqual(play(seconds), expected);
      }),
    );
  });
});
