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
function live(book: QuotaEdges, seconds: number, isHeld: (second: number) => boolean): QuotaEdge[] {
  return Array.from({ length: seconds }, (_, second) => {
    if (isHeld(second)) book.hold(rate, second * 1000);
    return book.review(second * 1000);
  }).flat();
}

describe('quota book', () => {
  it('lists what is set, with use and state, and nothing else', () => {
    const book = new QuotaEdges({ [rate]: 10, 'spool-bytes': 1000 });
    book.use('spool-bytes', 400);
    book.use('cpu-share', 0.5);
    book.hold('cpu-share', 1);
    book.stand('bus-share', true);
    assert.deepEqual(book.review(1), []);
    assert.deepEqual(book.status(), [
      { quota: rate, limit: 10, used: 0, state: 'clear' },
      { quota: 'spool-bytes', limit: 1000, used: 400, state: 'clear' },
    ]);
  });

  it('tells once that a quota is reached, and that it is clear when nothing was held back for ten seconds', () => {
    const book = new QuotaEdges({ [rate]: 10 });
    book.hold(rate, 500);
    assert.deepEqual(book.review(1000), [{ quota: rate, limit: 10, state: 'reached' }]);
    assert.equal(book.status()[0]!.state, 'reached');
    book.hold(rate, 1500);
    assert.deepEqual(book.review(2000), []);
    assert.deepEqual(book.review(1500 + holdMsMin - 1), []);
    assert.deepEqual(book.review(1500 + holdMsMin), [{ quota: rate, limit: 10, state: 'cleared' }]);
    assert.deepEqual(book.review(1500 + 2 * holdMsMin), []);
    assert.equal(book.status()[0]!.state, 'clear');
  });

  it('misses nothing that was over again before anybody looked', () => {
    const book = new QuotaEdges({ [rate]: 10 });
    book.stand(rate, true);
    book.stand(rate, false);
    assert.deepEqual(book.review(1000), []);
    book.hold(rate, 1001);
    assert.equal(book.review(2000).length, 1);
  });

  it('stays reached for as long as something stands, and takes a new limit', () => {
    const book = new QuotaEdges({});
    book.limit('bus-share', 0.2);
    book.stand('bus-share', true);
    assert.equal(book.review(0).length, 1);
    for (let at = 0; at <= 3_600_000; at += 1000) assert.deepEqual(book.review(at), []);
    book.limit('bus-share', 0.3);
    book.stand('bus-share', false);
    assert.deepEqual(book.review(3_600_000 + holdMsMin), [
      { quota: 'bus-share', limit: 0.3, state: 'cleared' },
    ]);
  });

  for (const period of [2, 9, 11, 12, 21, 60, 300, 599]) {
    it(`makes few events where something is held back every ${period} s for a day`, () => {
      const book = new QuotaEdges({ [rate]: 10 });
      const edges = live(book, 86_400, (second) => second % period === 0);
      assert.ok(edges.length >= 1 && edges.length <= 2 * 150, `${edges.length} edges`);
      edges.forEach((edge, index) => assert.equal(edge.state, index % 2 === 0 ? 'reached' : 'cleared'));
    });
  }

  it('is as quick as at first after a quiet time', () => {
    const book = new QuotaEdges({ [rate]: 10 });
    live(book, 3600, (second) => second % 11 === 0);
    assert.equal(book.review(3_600_000 + holdMsMax)[0]?.state, 'cleared');
    const later = 3_600_000 + 3 * holdMsMax;
    book.hold(rate, later);
    assert.equal(book.review(later)[0]?.state, 'reached');
    assert.equal(book.review(later + holdMsMin)[0]?.state, 'cleared');
  });
});
