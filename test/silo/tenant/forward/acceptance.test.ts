import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Acceptance, type BatchCounts } from '../../../../src/silo/tenant/forward/acceptance.ts';

/** What happens in a second: so many batches are stored, accepted, set aside. */
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

describe('how long no batch was accepted', () => {
  it('is not at all while each is, or there are none', () => {
    assert.deepEqual(play([nothing, delivered, delivered, nothing]), [null, null, null, null]);
  });

  it('counts from the first that was stored, and ends with the first that is accepted', () => {
    assert.deepEqual(play([nothing, stored, stored, nothing]), [null, 0, 1000, 2000]);
    assert.deepEqual(play([stored, stored, delivered, { ...nothing, accepted: 2 }]), [0, 1000, 0, null]);
  });

  it('goes on where batches are set aside and none is accepted, though none waits', () => {
    const setAside = { stored: 1, accepted: 0, aside: 1 };
    assert.deepEqual(play([setAside, setAside, nothing]), [0, 1000, 2000]);
    assert.deepEqual(play([setAside, delivered]), [0, null]);
  });

  it('is a backlog that came from before, from when it is looked at', () => {
    const acceptance = new Acceptance({ seq: 900, waiting: 0, accepted: 0 });
    const counts = { seq: 900, waiting: 500, accepted: 0 };
    assert.equal(acceptance.unacceptedMs(counts, 5000), 0);
    assert.equal(acceptance.unacceptedMs({ ...counts, waiting: 400, accepted: 100 }, 9000), 0);
    assert.equal(acceptance.unacceptedMs({ ...counts, waiting: 400, accepted: 100 }, 9500), 500);
  });

  it('is the time since the last acceptance, or since there was one to make, whatever comes', () => {
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
