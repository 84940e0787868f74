import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LogAllowance } from '../../../src/silo/host/log-allowance.ts';

describe("a silo's part of the log", () => {
  it('is two hundred lines at once and ten a second, and the next that passes tells of the others', () => {
    const allowance = new LogAllowance(5000);
    for (let line = 0; line < 200; line += 1) {
      assert.deepEqual(allowance.take(5000), { pass: true, suppressed: 0 });
    }
    for (let line = 0; line < 50; line += 1) {
      assert.deepEqual(allowance.take(5000), { pass: false, suppressed: 0 });
    }
    assert.deepEqual(allowance.take(5200), { pass: true, suppressed: 50 });
    assert.deepEqual(allowance.take(5200), { pass: true, suppressed: 0 });
    assert.equal(allowance.take(5200).pass, false);
  });
});
