import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from '../../src/base/token-bucket.ts';

/** A bucket with one second's worth at once. */
const bucketOf = (perSecond: number, nowMs: number): TokenBucket =>
  new TokenBucket({ perSecond, burst: perSecond }, nowMs);

describe('token bucket', () => {
  it('takes all or nothing, and what it refuses costs nothing', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 20 }, 0);
    assert.equal(bucket.take(21, 0), false);
    assert.equal(bucket.take(20, 0), true);
    assert.equal(bucket.take(1, 99), false);
    assert.equal(bucket.take(1, 100), true);
  });

  it('takes what is available: its rate on average and a second at once', () => {
    const bucket = bucketOf(100, 0);
    assert.equal(bucket.takeUpTo(150, 0), 100);
    assert.equal(bucket.takeUpTo(10, 0), 0);
    let passed = 0;
    for (let ms = 10; ms <= 10_000; ms += 10) passed += bucket.takeUpTo(5, ms);
    assert.ok(passed >= 999 && passed <= 1000, `${passed}`);
  });

  it('takes nothing, and gives nothing back, while it is in debt', () => {
    const bucket = bucketOf(10, 0);
    bucket.spend(30, 0);
    assert.equal(bucket.takeUpTo(5, 1000), 0);
    assert.equal(bucket.takeUpTo(5, 2500), 5);
  });

  it('lets one second’s worth go at once, then asks to wait', () => {
    const bucket = bucketOf(1000, 0);
    bucket.spend(999, 0);
    assert.equal(bucket.waitMs(0), 0);
    bucket.spend(501, 0);
    assert.equal(bucket.waitMs(0), 501);
    assert.equal(bucket.waitMs(501), 0);
  });

  it('lets a message pass that is larger than a second’s worth, and takes the time for it afterwards', () => {
    const bucket = bucketOf(1000, 0);
    bucket.spend(10_000, 0);
    assert.equal(bucket.waitMs(0), 9001);
  });

  it('gains nothing when the clock goes back', () => {
    const bucket = bucketOf(1000, 5000);
    bucket.spend(2000, 5000);
    const waitMs = bucket.waitMs(5000);
    assert.equal(bucket.waitMs(4000), waitMs);
    assert.equal(bucket.waitMs(5000), waitMs);
  });

  it('holds the rate over any run of messages, and is not slower than it must be', () => {
    const messages = fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 100_000 }), messages, (bytesPerSecond, sizes) => {
        const bucket = bucketOf(bytesPerSecond, 0);
        let nowMs = 0;
        let sent = 0;
        for (const size of sizes) {
          nowMs += bucket.waitMs(nowMs);
          // The messages before it fit the rate, plus one second's burst.
          assert.ok(sent <= (bytesPerSecond * (nowMs + 1000)) / 1000 + 1);
          bucket.spend(size, nowMs);
          sent += size;
        }
        // The last one left when the debt of those before it was paid, up to the rounding of each wait.
        const paidMs = ((sent - sizes.at(-1)!) / bytesPerSecond - 1) * 1000;
        const roundingMs = 1000 / bytesPerSecond + 1;
        assert.ok(nowMs <= Math.max(0, paidMs) + sizes.length * roundingMs, `${nowMs} ms, paid at ${paidMs}`);
      }),
    );
  });
});
