import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnswerTimes } from '../../../src/fieldbus/modbus/answer-times.ts';
import { GatewayQueue } from '../../../src/fieldbus/modbus/gateway-queue.ts';
import { withFactor } from '../../../src/fieldbus/modbus/point-reader.ts';

describe('numbers from a device are bounded', () => {
  it('for how late it answers extend a wait to at most 5 s', () => {
    const times = new AnswerTimes();
    for (const lateMs of [1000, 4000, 4999, 5000]) {
      assert.equal(times.late(1, lateMs), true);
      assert.ok(times.waitMs(1, 500) <= 5000);
    }
    for (const lateMs of [5001, 60_000, 1e12, Infinity]) assert.equal(times.late(1, lateMs), false);
    assert.ok(times.waitMs(1, 500) <= 5000);
  });

  it('for how long it blocks its queue delay others by at most 10 s', () => {
    for (const waitMs of [20_000, 999_000, 1e12]) {
      const queue = new GatewayQueue();
      queue.sent(1, 1, 0);
      queue.sent(2, 2, 1);
      queue.answered(2, 20, waitMs);
      assert.ok(queue.holdMs <= 10_000, `${queue.holdMs}`);
      queue.sent(3, 1, waitMs);
      queue.gaveUp(3, 2 * waitMs);
      assert.ok(queue.holdMs <= 10_000, `${queue.holdMs}`);
      assert.ok(queue.turnAtMs(3) <= waitMs + 10_000);
    }
  });

  it('for a power of ten are from -10 to 10 (SunSpec’s sunssf), and give no value beyond', () => {
    assert.equal(withFactor(5, 10), 5e10);
    assert.equal(withFactor(5, -10), 5e-10);
    for (const factor of [11, -11, 300, 32_767, -32_768, 0.5, NaN, Infinity]) {
      assert.equal(withFactor(5, factor), undefined, String(factor));
    }
  });
});
