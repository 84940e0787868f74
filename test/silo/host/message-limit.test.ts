import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { messageSize } from '../../../src/silo/host/message-size.ts';
import { MessageLimit } from '../../../src/silo/host/message-limit.ts';

describe('how much a silo may say', () => {
  it('is more than a real one says', () => {
    const limit = new MessageLimit(0);
    for (let ms = 0; ms < 600_000; ms += 50) {
      assert.equal(limit.heard(50, ms), undefined);
      if (ms % 1000 === 0) assert.equal(limit.heard(5000, ms), undefined);
    }
  });

  it('is what it was given and a thousand things more', () => {
    const limit = new MessageLimit(0);
    for (let count = 0; count < 5000; count += 1) limit.given();
    for (let count = 0; count < 6000; count += 1) assert.equal(limit.heard(40, 0), undefined);
    assert.match(limit.heard(40, 0)!, /more than 100 things a second/);
    assert.equal(limit.heard(40, 1000), undefined);
  });

  it('is not saved up for years', () => {
    const limit = new MessageLimit(0);
    for (let count = 0; count < 1_000_000; count += 1) limit.given();
    let passed = 0;
    while (limit.heard(1, 1e9) === undefined) passed += 1;
    assert.equal(passed, 21_000);
  });

  it('is bounded in bytes, however few the messages', () => {
    const limit = new MessageLimit(0);
    for (let count = 0; count < 4; count += 1) assert.equal(limit.heard(1_000_000, 0), undefined);
    assert.match(limit.heard(1, 0)!, /more than 1 MB a second/);
    assert.match(new MessageLimit(0).heard(Infinity, 0)!, /more than 1 MB a second/);
  });
});

describe('the size of a message', () => {
  it('is that of its texts, and a little for the rest', () => {
    const size = messageSize({ type: 'log', fields: { reason: 'x'.repeat(1000), list: [1, 2, 3] } }, 10_000);
    assert.ok(size > 1000 && size < 1300, String(size));
  });

  it('is without bound where there is more than is counted, or what nobody sends', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = [cyclic, cyclic];
    const large = ['x'.repeat(10_001), { reason: 'x'.repeat(10_001) }, Array.from({ length: 5000 }, () => 0)];
    const strange = [new Uint8Array(3), new Map(), new Date(), new ArrayBuffer(1), [new Set()]];
    for (const value of [...large, ...strange, cyclic]) assert.equal(messageSize(value, 10_000), Infinity);
  });
});
