import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { SizeLimit } from '../../src/uplink/size-limit.ts';

const minuteMs = 60_000;

describe('size limit of a broker', () => {
  let limit: SizeLimit;
  beforeEach(() => {
    limit = new SizeLimit();
  });

  it('is what the session’s CONNACK named, and none where it named none', () => {
    limit.begin(5000);
    assert.deepEqual([limit.bytesMax, limit.batchBytesMax], [5000, 5000]);
    limit.begin(undefined);
    assert.deepEqual([limit.bytesMax, limit.batchBytesMax], [Infinity, Infinity]);
  });

  it('is below what did not pass; batches keep to what did, or to half', () => {
    limit.begin(undefined);
    limit.failed(10_000, 0);
    assert.deepEqual([limit.bytesMax, limit.batchBytesMax], [9999, 5000]);
    limit.passed(7000);
    assert.equal(limit.batchBytesMax, 7000);
    limit.failed(6000, 0);
    assert.deepEqual([limit.bytesMax, limit.batchBytesMax], [5999, 3000]);
    limit.begin(2000);
    assert.deepEqual([limit.bytesMax, limit.batchBytesMax], [2000, 2000]);
  });

  it('is lifted when the size passes after all', () => {
    limit.failed(10_000, 0);
    limit.passed(10_000);
    assert.equal(limit.bytesMax, Infinity);
    assert.equal(limit.dueRetry(1e9), undefined);
  });

  it('is tried again after ten minutes, then after twice as long, up to four hours', () => {
    limit.failed(1000, 0);
    let nowMs = 0;
    for (const minutes of [10, 20, 40, 80, 160, 240, 240]) {
      assert.equal(limit.dueRetry(nowMs + minutes * minuteMs - 1), undefined, `${minutes}`);
      nowMs += minutes * minuteMs;
      assert.equal(limit.dueRetry(nowMs), 1000);
      limit.failed(1000, nowMs);
    }
  });

  it('is tried again a minute after it was found where a new session began, unless the last one ended over it', () => {
    limit.failed(1000, 0);
    limit.begin(undefined);
    assert.equal(limit.dueRetry(minuteMs - 1), undefined);
    assert.equal(limit.dueRetry(minuteMs), 1000);
    limit.hungUp(1000, minuteMs);
    limit.begin(undefined);
    assert.equal(limit.dueRetry(10 * minuteMs), undefined);
  });

  it('is tried again soon after a broker was stopped while smaller ones were on their way', () => {
    const limit = new SizeLimit();
    limit.failed(5000, 0);
    limit.hungUp(3000, 10_000);
    limit.begin(undefined);
    assert.equal(limit.dueRetry(minuteMs), 5000);
    limit.hungUp(3000, minuteMs);
    limit.begin(undefined);
    assert.equal(limit.bytesMax, 2999, 'the second one speaks of the size');
    assert.equal(limit.dueRetry(2 * minuteMs), 3000);
  });

  it('follows from two hang-ups in a row on a size, not from one, nor where it has passed between', () => {
    limit.hungUp(5000, 0);
    assert.equal(limit.bytesMax, Infinity);
    limit.passed(5000);
    limit.hungUp(5000, 0);
    assert.equal(limit.bytesMax, Infinity);
    limit.hungUp(6000, 0);
    assert.equal(limit.bytesMax, 4999);
  });

  it('finds any limit, to a factor of two at most, for any batches', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 300, max: 100_000 }),
        fc.infiniteStream(fc.double({ min: 0.3, max: 1, noNaN: true })),
        (truth, shares) => {
          const found = new SizeLimit();
          const next = shares[Symbol.iterator]();
          for (let round = 0; round < 40; round += 1) {
            const wanted = Math.min(found.batchBytesMax, 120_000);
            const bytes = Math.max(1, Math.floor(wanted * next.next().value));
            if (bytes > found.bytesMax) continue;
            if (bytes <= truth) found.passed(bytes);
            else found.failed(bytes, 0);
          }
          assert.ok(found.batchBytesMax <= 120_000 || found.batchBytesMax === Infinity);
          assert.ok(found.bytesMax === Infinity || found.bytesMax >= truth, `${found.bytesMax} < ${truth}`);
        },
      ),
    );
  });
});
