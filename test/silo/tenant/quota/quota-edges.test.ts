import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  holdMsMax,
  holdMsMin,
  QuotaEdges,
  type QuotaEdge,
} from '../../../../src/silo/tenant/quota/quota-edges.ts';

const rate = 'samples-per-second';

/** Lets seconds pass; `isHeld` says in which of them the quota holds something back. */
function live(edges: QuotaEdges, seconds: number, isHeld: (second: number) => boolean): QuotaEdge[] {
  return Array.from({ length: seconds }, (_, second) => {
    if (isHeld(second)) edges.hold(rate, second * 1000);
    return edges.review(second * 1000);
  }).flat();
}

describe('quota edges', () => {
  it('lists only quotas that are set, with use and state', () => {
    const edges = new QuotaEdges({ [rate]: 10, 'spool-bytes': 1000 });
    edges.use('spool-bytes', 400);
    edges.use('cpu-share', 0.5);
    edges.hold('cpu-share', 1);
    edges.stand('bus-share', true);
    assert.deepEqual(edges.review(1), []);
    assert.deepEqual(edges.status(), [
      { quota: rate, limit: 10, used: 0, state: 'clear' },
      { quota: 'spool-bytes', limit: 1000, used: 400, state: 'clear' },
    ]);
  });

  it('reports once that a quota is reached, and that it is clear after ten seconds without effect', () => {
    const edges = new QuotaEdges({ [rate]: 10 });
    edges.hold(rate, 500);
    assert.deepEqual(edges.review(1000), [{ quota: rate, limit: 10, state: 'reached' }]);
    assert.equal(edges.status()[0]!.state, 'reached');
    edges.hold(rate, 1500);
    assert.deepEqual(edges.review(2000), []);
    assert.deepEqual(edges.review(1500 + holdMsMin - 1), []);
    assert.deepEqual(edges.review(1500 + holdMsMin), [{ quota: rate, limit: 10, state: 'cleared' }]);
    assert.deepEqual(edges.review(1500 + 2 * holdMsMin), []);
    assert.equal(edges.status()[0]!.state, 'clear');
  });

  it('misses nothing that began and ended between two reviews', () => {
    const edges = new QuotaEdges({ [rate]: 10 });
    edges.stand(rate, true);
    edges.stand(rate, false);
    assert.deepEqual(edges.review(1000), []);
    edges.hold(rate, 1001);
    assert.equal(edges.review(2000).length, 1);
  });

  it('stays reached for as long as the quota stands, and accepts a new limit', () => {
    const edges = new QuotaEdges({});
    edges.limit('bus-share', 0.2);
    edges.stand('bus-share', true);
    assert.equal(edges.review(0).length, 1);
    for (let at = 0; at <= 3_600_000; at += 1000) assert.deepEqual(edges.review(at), []);
    edges.limit('bus-share', 0.3);
    edges.stand('bus-share', false);
    assert.deepEqual(edges.review(3_600_000 + holdMsMin), [
      { quota: 'bus-share', limit: 0.3, state: 'cleared' },
    ]);
  });

  for (const period of [2, 9, 11, 12, 21, 60, 300, 599]) {
    it(`makes few events if a quota limits something every ${period} s for a day`, () => {
      const edges = new QuotaEdges({ [rate]: 10 });
      const seen = live(edges, 86_400, (second) => second % period === 0);
      assert.ok(seen.length >= 1 && seen.length <= 2 * 150, `${seen.length} seen`);
      seen.forEach((edge, index) => assert.equal(edge.state, index % 2 === 0 ? 'reached' : 'cleared'));
    });
  }

  it('clears as quickly as at first after a quiet time', () => {
    const edges = new QuotaEdges({ [rate]: 10 });
    live(edges, 3600, (second) => second % 11 === 0);
    assert.equal(edges.review(3_600_000 + holdMsMax)[0]?.state, 'cleared');
    const later = 3_600_000 + 3 * holdMsMax;
    edges.hold(rate, later);
    assert.equal(edges.review(later)[0]?.state, 'reached');
    assert.equal(edges.review(later + holdMsMin)[0]?.state, 'cleared');
  });
});
