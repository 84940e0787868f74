import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Throttle } from '../../src/base/throttle.ts';
import { logLines } from '../../src/silo/host/silo-host.ts';

describe("a silo's part of the log", () => {
  it('is two hundred lines at once and ten a second, and the next line counts the suppressed ones', () => {
    const throttle = new Throttle(logLines, 5000);
    for (let line = 0; line < 200; line += 1) {
      assert.deepEqual(throttle.take(5000), { pass: true, suppressed: 0 });
    }
    for (let line = 0; line < 50; line += 1) {
      assert.deepEqual(throttle.take(5000), { pass: false, suppressed: 0 });
    }
    assert.deepEqual(throttle.take(5200), { pass: true, suppressed: 50 });
    assert.deepEqual(throttle.take(5200), { pass: true, suppressed: 0 });
    assert.equal(throttle.take(5200).pass, false);
  });
});
