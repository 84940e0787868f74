import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RefusalRation, refusalsPerHour } from '../../../src/silo/tenant/refusal-limit.ts';

const hourMs = 3_600_000;
const refusal = { by: 'mallory', method: 'reload', reason: 'may not' };

describe('refused requests', () => {
  it('are noted one by one, sixty an hour; the rest is one entry at the hour’s end', () => {
    const ration = new RefusalRation();
    let noted = 0;
    for (let nowMs = 0; nowMs < hourMs; nowMs += 100) {
      assert.equal(ration.settle(nowMs), undefined);
      if (ration.admit({ ...refusal, by: nowMs % 200 === 0 ? 'mallory' : 'eve' }, nowMs)) noted += 1;
    }
    assert.equal(noted, refusalsPerHour);
    assert.deepEqual(ration.settle(hourMs), {
      by: 'mallory, eve',
      method: 'reload',
      reason: 'only 60 an hour are noted one by one',
      times: 36_000 - 60,
    });
    assert.equal(ration.settle(hourMs), undefined);
    assert.equal(ration.admit(refusal, hourMs), true);
  });

  it('have no summary where each was noted', () => {
    const ration = new RefusalRation();
    for (let count = 0; count < refusalsPerHour; count += 1) assert.equal(ration.admit(refusal, count), true);
    assert.equal(ration.settle(2 * hourMs), undefined);
  });

  it('are summed up at the end of the silo too, with few of however many names', () => {
    const ration = new RefusalRation();
    for (let count = 0; count < 1000; count += 1) {
      ration.admit({ ...refusal, by: `user-${count}`, method: `method-${count}` }, 5);
    }
    assert.equal(ration.settle(6), undefined);
    const summary = ration.settle(6, true)!;
    assert.equal(summary.times, 940);
    assert.equal(summary.by, 'user-60, user-61, user-62, user-63, user-64');
    assert.equal(ration.settle(2 * hourMs, true), undefined);
  });

  it('count for as many as they tell of', () => {
    const ration = new RefusalRation();
    for (let count = 0; count < refusalsPerHour; count += 1) ration.admit(refusal, 0);
    ration.admit({ ...refusal, times: 990 }, 1);
    ration.admit(refusal, 2);
    assert.equal(ration.settle(hourMs)!.times, 991);
  });
});
