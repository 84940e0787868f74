import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LossWatch } from '../../../src/silo/host/loss-watch.ts';

describe('loss watch', () => {
  it('reports reasons whose total has risen within the last minute', () => {
    const watch = new LossWatch();
    watch.note({ disk: 0, overrun: 5 }, 0);
    assert.deepEqual(watch.recent(0), ['overrun'], 'lost before it was first looked at');
    watch.note({ disk: 1, overrun: 5 }, 50_000);
    assert.deepEqual(watch.recent(59_999), ['overrun', 'disk']);
    assert.deepEqual(watch.recent(60_000), ['disk']);
    watch.note({ disk: 1, overrun: 5 }, 109_999);
    assert.deepEqual(watch.recent(110_000), []);
  });

  it('ignores reasons that a silo makes up', () => {
    const watch = new LossWatch();
    for (let nowMs = 0; nowMs < 1000; nowMs += 1)
      watch.note({ [`made-up-${nowMs}`]: 1, toString: nowMs }, nowMs);
    watch.note({ disk: 1 }, 1000);
    assert.deepEqual(watch.recent(1000), ['disk']);
  });

  it('reports losses of a restarted silo, whose totals begin at 0', () => {
    const watch = new LossWatch();
    watch.note({ disk: 100 }, 0);
    watch.note({ disk: 0 }, 100_000);
    assert.deepEqual(watch.recent(100_000), []);
    watch.note({ disk: 1 }, 100_001);
    assert.deepEqual(watch.recent(100_001), ['disk']);
  });
});
