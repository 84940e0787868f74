import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FrameGuard } from '../../src/uplink/frame-guard.ts';

/** A packet whose fixed header announces `length` bytes and which has `sent` of them. */
function packet(length: number, sent = length): Buffer {
  const header = [0x30];
  for (let left = length; ; ) {
    const digit = left % 128;
    left = Math.floor(left / 128);
    header.push(left > 0 ? digit + 128 : digit);
    if (left === 0) break;
  }
  // 0xff: were a byte of the body taken for a header, it would announce megabytes.
  return Buffer.concat([Buffer.from(header), Buffer.alloc(sent, 0xff)]);
}

describe('frame guard', () => {
  it('lets packets through however they are cut, and finds the first that is too large by its header', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 990 }), { maxLength: 20 }),
        fc.integer({ min: 1001, max: 268_435_455 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 30 }),
        (lengths, tooLong, cuts) => {
          const guard = new FrameGuard(1000);
          const stream = Buffer.concat([...lengths.map((length) => packet(length)), packet(tooLong, 0)]);
          let found: number | undefined;
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const end = Math.min(stream.length, at + cuts[turn % cuts.length]!);
            found = guard.tooLarge(stream.subarray(at, end));
            if (end < stream.length) assert.equal(found, undefined);
            at = end;
          }
          assert.ok(found !== undefined && found > tooLong && found <= tooLong + 5, `${found}`);
        },
      ),
    );
  });

  it('allows what it is told to, and never less than before', () => {
    const guard = new FrameGuard(100);
    guard.allow(5000);
    guard.allow(10);
    assert.equal(guard.tooLarge(packet(4990)), undefined);
    assert.equal(guard.tooLarge(packet(6000, 0)), 6003);
  });
});
