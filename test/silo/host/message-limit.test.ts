import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { messageSize } from '../../../src/silo/host/message-size.ts';
import { MessageLimit } from '../../../src/silo/host/message-limit.ts';

describe('message limit', () => {
  it('is above the messages of a real silo', () => {
    const limit = new MessageLimit(0);
    for (let ms = 0; ms < 600_000; ms += 50) {
      assert.equal(limit.heard(50, ms), undefined);
      if (ms % 1000 === 0) assert.equal(limit.heard(5000, ms), undefined);
    }
  });

  it('allows one answer for each message given, and a burst of a thousand more', () => {
    const limit = new MessageLimit(0);
    for (let count = 0; count < 5000; count += 1) limit.given();
    for (let count = 0; count < 6000; count += 1) assert.equal(limit.heard(40, 0), undefined);
    assert.match(limit.heard(40, 0)!, /more than 100 things a second/);
    assert.equal(limit.heard(40, 1000), undefined);
  });

  it('does not accumulate over a long time', () => {
    const limit = new MessageLimit(0);
    for (let count = 0; count < 1_000_000; count += 1) limit.given();
    let passed = 0;
    while (limit.heard(1, 1e9) === undefined) passed += 1;
    assert.equal(passed, 21_000);
  });

  it('limits bytes even in a few messages', () => {
    const limit = new MessageLimit(0);
    for (let count = 0; count < 4; count += 1) assert.equal(limit.heard(1_000_000, 0), undefined);
    assert.match(limit.heard(1, 0)!, /more than 1 MB a second/);
    assert.match(new MessageLimit(0).heard(Infinity, 0)!, /more than 1 MB a second/);
  });
});

describe('message size', () => {
  it('counts the bytes of texts, and a few for each other value', () => {
    const size = messageSize({ type: 'log', fields: { reason: 'x'.repeat(1000), list: [1, 2, 3] } }, 10_000);
    assert.ok(size > 1000 && size < 1300, String(size));
  });

  it('is infinite for a message above bytesMax, or with a value that no silo sends', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = [cyclic, cyclic];
    const large = ['x'.repeat(10_001), { reason: 'x'.repeat(10_001) }, Array.from({ length: 5000 }, () => 0)];
    const strange = [new Uint8Array(3), new Map(), new Date(), new ArrayBuffer(1), [new Set()]];
    for (const value of [...large, ...strange, cyclic]) assert.equal(messageSize(value, 10_000), Infinity);
  });
});
