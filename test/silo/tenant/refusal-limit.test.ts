import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RefusalLimit, refusalsPerHour } from '../../../src/silo/tenant/refusal-limit.ts';

const hourMs = 3_600_000;
const refusal = { by: 'mallory', method: 'reload', reason: 'may not' };

describe('refused requests', () => {
  it('are noted one by one up to sixty an hour; the rest is one entry at the hour’s end', () => {
    const limit = new RefusalLimit();
    let noted = 0;
    for (let nowMs = 0; nowMs < hourMs; nowMs += 100) {
      assert.equal(limit.settle(nowMs), undefined);
      if (limit.admit({ ...refusal, by: nowMs % 200 === 0 ? 'mallory' : 'eve' }, nowMs)) noted += 1;
    }
    assert.equal(noted, refusalsPerHour);
    assert.deepEqual(limit.settle(hourMs), {
      by: 'mallory, eve',
      method: 'reload',
      reason: 'only 60 an hour are noted one by one',
      times: 36_000 - 60,
    });
    assert.equal(limit.settle(hourMs), undefined);
    assert.equal(limit.admit(refusal, hourMs), true);
  });

  it('have no summary if each was noted', () => {
    const limit = new RefusalLimit();
    for (let count = 0; count < refusalsPerHour; count += 1) assert.equal(limit.admit(refusal, count), true);
    assert.equal(limit.settle(2 * hourMs), undefined);
  });

  it('are summed up at the silo’s stop too, with a few of the names', () => {
    const limit = new RefusalLimit();
    for (let count = 0; count < 1000; count += 1) {
      limit.admit({ ...refusal, by: `user-${count}`, method: `method-${count}` }, 5);
    }
    assert.equal(limit.settle(6), undefined);
    const summary = limit.settle(6, true)!;
    assert.equal(summary.times, 940);
    assert.equal(summary.by, 'user-60, user-61, user-62, user-63, user-64');
    assert.equal(limit.settle(2 * hourMs, true), undefined);
  });

  it('count by their times', () => {
    const limit = new RefusalLimit();
    for (let count = 0; count < refusalsPerHour; count += 1) limit.admit(refusal, 0);
    limit.admit({ ...refusal, times: 990 }, 1);
    limit.admit(refusal, 2);
    assert.equal(limit.settle(hourMs)!.times, 991);
  });
});
