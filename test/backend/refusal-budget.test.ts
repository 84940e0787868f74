import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RefusalBudget } from '../../src/backend/refusal-budget.ts';

const acme = { tenant: 'acme', gateway: 'gw' };
const sibling = { tenant: 'acme', gateway: 'other' };
const beta = { tenant: 'beta', gateway: 'gw' };

/** Takes messages of `ms` each for so long, as soon as each may be taken: how much time they had, ms. */
function usedBy(budget: RefusalBudget, ms: number, forMs: number, isRefused: (n: number) => boolean): number {
  let used = 0;
  for (let [nowMs, n] = [0, 0]; nowMs < forMs; n++) {
    nowMs += ms;
    used += ms;
    nowMs += budget.charge(acme, ms, isRefused(n), nowMs)?.waitMs ?? 0;
  }
  return used;
}

describe('a budget for refused messages', () => {
  it('lets a second of them pass at once, and then a fiftieth of the time', () => {
    const budget = new RefusalBudget();
    const used = usedBy(budget, 5, 100_000, () => true);
    assert.ok(used >= 1000 && used <= 3500, `${used} ms of 100 s`);
  });

  it('slows a gateway that mixes bad messages with good ones by the share of bad ones', () => {
    const half = usedBy(new RefusalBudget(), 5, 100_000, (n) => n % 2 === 0);
    assert.ok(half >= 1000 && half <= 10_000, `${half} ms of 100 s`);
    const few = usedBy(new RefusalBudget(), 0.1, 20_000, (n) => n % 1000 === 0);
    assert.ok(few > 19_000, `one in a thousand: ${few} ms of 20 s`);
  });

  it('never makes a gateway wait that sends nothing bad, for any traffic of other gateways', () => {
    const budget = new RefusalBudget();
    for (let nowMs = 0; nowMs < 10_000; nowMs += 10) {
      budget.charge(acme, 10, true, nowMs);
      assert.equal(budget.charge(sibling, 10, false, nowMs), undefined);
      assert.equal(budget.charge(beta, 10, false, nowMs), undefined);
      assert.equal(
        budget.charge({ tenant: 'beta', gateway: 'gw2' }, 1, nowMs % 1000 === 0, nowMs),
        undefined,
      );
    }
  });

  it('says once that a gateway is slowed, and again when it had been good in between', () => {
    const budget = new RefusalBudget();
    let nowMs = 0;
    const charge = (refused: boolean, ms = 50) => budget.charge(acme, ms, refused, (nowMs += ms));
    const delays = Array.from({ length: 100 }, () => charge(true)).filter((delay) => delay !== undefined);
    assert.deepEqual([...new Set(delays.slice(1).map(({ first }) => first))], [false]);
    assert.equal(delays[0]!.first, true);
    nowMs += 3_600_000;
    for (let good = 0; good < 300; good++) assert.equal(charge(false, 1), undefined);
    const again = Array.from({ length: 100 }, () => charge(true)).filter((delay) => delay !== undefined);
    assert.equal(again.filter(({ first }) => first).length, 1);
  });

  it('holds all gateways of one tenant together to it, however they share their nonsense', () => {
    const message = fc.record({ gateway: fc.nat(4), ms: fc.integer({ min: 1, max: 50 }) });
    fc.assert(
      fc.property(fc.array(message, { minLength: 100, maxLength: 400 }), (messages) => {
        const budget = new RefusalBudget();
        const freeAt = new Map<number, number>();
        let [nowMs, used] = [0, 0];
        // Always the one that may be taken first.
        for (const { gateway, ms } of messages) {
          nowMs = Math.max(nowMs, freeAt.get(gateway) ?? 0) + ms;
          used += ms;
          const delay = budget.charge({ tenant: 'acme', gateway: String(gateway) }, ms, true, nowMs);
          freeAt.set(gateway, nowMs + (delay?.waitMs ?? 0));
          assert.ok((delay?.waitMs ?? 0) <= 60_000);
        }
        // A gateway that is new to this waits little at first.
        assert.ok(used <= 1000 + nowMs / 20 + 5 * 32 * 50, `${used} ms of ${nowMs}`);
      }),
      { numRuns: 50 },
    );
  });
});
