import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Delivery, strikesMax } from '../../../../src/silo/tenant/forward/delivery.ts';

const never = (): number => 0.5;

describe('delivery', () => {
  it('acknowledges accepted batches and releases unanswered ones', () => {
    const delivery = new Delivery(never);
    assert.equal(delivery.decide('a/1', 'accepted', 0, false), 'ack');
    assert.equal(delivery.decide('a/2', 'unsettled', 0, false), 'release');
  });

  it('rejects a batch that is refused again and again while others pass', () => {
    const delivery = new Delivery(never);
    for (let strike = 1; strike < strikesMax; strike += 1) {
      assert.equal(delivery.decide('a/1', 'refused', strike, false), 'aside');
      assert.equal(delivery.decide(`a/${strike + 1}`, 'accepted', strike, false), 'ack');
    }
    assert.equal(delivery.decide('a/1', 'refused', 99, false), 'reject');
  });

  it('never rejects a batch while no batch is accepted', () => {
    const delivery = new Delivery(never);
    let nowMs = 0;
    for (let round = 0; round < 1000; round += 1) {
      assert.equal(delivery.decide('a/1', 'refused', nowMs, true), 'aside');
      nowMs = Math.max(nowMs + 1, delivery.pausedUntilMs);
    }
    assert.ok(delivery.pausedUntilMs - nowMs <= 60_000);
  });

  it('pauses longer and longer while no batch is accepted, and not at all after a success', () => {
    const delivery = new Delivery(never);
    const pauses: number[] = [];
    for (let round = 0; round < 9; round += 1) {
      delivery.decide('a/1', 'no-subscribers', 0, false);
      pauses.push(delivery.pausedUntilMs);
    }
    assert.deepEqual(
      pauses,
      [...pauses].sort((a, b) => a - b),
    );
    assert.equal(pauses[0], 0);
    assert.ok(pauses.at(-1)! <= 60_000 && pauses.at(-1)! > 30_000);
    delivery.decide('a/2', 'accepted', 0, false);
    delivery.decide('a/3', 'no-subscribers', 100_000, false);
    assert.ok(delivery.pausedUntilMs < 100_000);
  });

  it('sends one by one when sessions end, and finds the batch that ends them', () => {
    const delivery = new Delivery(never);
    assert.equal(delivery.window(100), 100);
    delivery.sessionLost();
    delivery.sessionLost();
    assert.equal(delivery.window(100), 1);
    let verdict = '';
    for (let round = 0; round < 50 && verdict !== 'reject'; round += 1) {
      delivery.sessionLost();
      delivery.sessionLost();
      verdict = delivery.decide('a/1', 'unsettled', round, true);
      if (verdict === 'aside') assert.equal(delivery.decide(`b/${round}`, 'accepted', round, true), 'ack');
    }
    assert.equal(verdict, 'reject');
    delivery.decide('b/1', 'accepted', 0, true);
    assert.equal(delivery.window(100), 100);
  });

  it('rejects an impossible batch at once', () => {
    assert.equal(new Delivery(never).decide('a/1', 'impossible', 0, false), 'reject');
  });
});
