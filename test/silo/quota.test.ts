import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LossAccount } from '../../src/silo/loss-account.ts';
import { DayQuota, RateQuota } from '../../src/silo/quota.ts';

describe('rate quota', () => {
  it('lets its rate through on average and a second at once', () => {
    const quota = new RateQuota(100, 0);
    assert.equal(quota.take(150, 0), 100);
    assert.equal(quota.take(10, 0), 0);
    let passed = 0;
    for (let ms = 10; ms <= 10_000; ms += 10) passed += quota.take(5, ms);
    assert.ok(passed >= 999 && passed <= 1000, `${passed}`);
  });
});

describe('day quota', () => {
  it('counts by UTC day', () => {
    const quota = new DayQuota(1000);
    const noon = Date.UTC(2026, 10, 22, 12);
    quota.spend(999, noon);
    assert.equal(quota.exhausted(noon), false);
    quota.spend(1, noon + 1);
    assert.equal(quota.exhausted(noon + 2), true);
    assert.equal(quota.exhausted(noon + 43_200_000), false);
    assert.equal(quota.used(noon + 43_200_000), 0);
  });
});

describe('loss account', () => {
  it('tells a flood as one run for each reason, once', () => {
    const losses = new LossAccount();
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
});
