import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { openBucket, spend, waitMs } from '../../src/base/token-bucket.ts';

describe('backlog rate', () => {
  it('lets one second’s worth go at once, then asks to wait', () => {
    let bucket = openBucket(1000, 0);
    bucket = spend(bucket, 999, 0);
    assert.equal(waitMs(bucket, 0), 0);
    bucket = spend(bucket, 501, 0);
    assert.equal(waitMs(bucket, 0), 501);
    assert.equal(waitMs(bucket, 501), 0);
  });

  it('lets a message pass that is larger than a second’s worth, and takes the time for it afterwards', () => {
    const bucket = spend(openBucket(1000, 0), 10_000, 0);
    assert.equal(waitMs(bucket, 0), 9001);
  });

  it('does not run away when the clock stands still', () => {
    const bucket = spend(openBucket(1000, 5000), 2000, 5000);
    assert.equal(waitMs(bucket, 5000), waitMs(bucket, 4000));
  });

  it('holds the rate over any run of messages, and is not slower than it must be', () => {
    const messages = fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 100_000 }), messages, (bytesPerSecond, sizes) => {
        let bucket = openBucket(bytesPerSecond, 0);
        let nowMs = 0;
        let sent = 0;
        for (const size of sizes) {
          nowMs += waitMs(bucket, nowMs);
          // What went before fits the rate, plus one second's burst.
          assert.ok(sent <= (bytesPerSecond * (nowMs + 1000)) / 1000 + 1);
          bucket = spend(bucket, size, nowMs);
          sent += size;
        }
        // The last one left when those before it were paid for, give or take the rounding of each wait.
        const paidMs = ((sent - sizes.at(-1)!) / bytesPerSecond - 1) * 1000;
        const roundingMs = 1000 / bytesPerSecond + 1;
        assert.ok(nowMs <= Math.max(0, paidMs) + sizes.length * roundingMs, `${nowMs} ms, paid at ${paidMs}`);
      }),
    );
  });
});
