import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LossCount } from '../../src/silo/loss-count.ts';

describe('loss count', () => {
  it('reports a flood once, as one run for each reason', () => {
    const losses = new LossCount();
    for (let at = 1; at <= 1000; at += 1) losses.add({ reason: 'quota', samples: 2, from: at, to: at });
    losses.add({ reason: 'overrun', samples: 1, from: 7, to: 8 });
    losses.add({ reason: 'overrun', samples: 0, from: 0, to: 0 });
    assert.deepEqual(losses.take(), [
      { reason: 'quota', samples: 2000, from: 1, to: 1000 },
      { reason: 'overrun', samples: 1, from: 7, to: 8 },
    ]);
    assert.deepEqual(losses.take(), []);
    assert.deepEqual(losses.totals, { quota: 2000, overrun: 1 });
  });

  it('counts an unreported run once, and reports it together with later losses', () => {
    const losses = new LossCount();
    losses.add({ reason: 'quota', samples: 5, from: 10, to: 20 });
    const [run] = losses.take();
    losses.add({ reason: 'quota', samples: 1, from: 30, to: 30 });
    losses.putBack(run!);
    assert.deepEqual(losses.take(), [{ reason: 'quota', samples: 6, from: 10, to: 30 }]);
    assert.deepEqual(losses.totals, { quota: 6 });
  });
});
