import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DailyBytes } from '../../../../src/silo/tenant/quota/daily-bytes.ts';

const hourMs = 3_600_000;
const midnight = Date.UTC(2026, 10, 22);
const today = midnight / 86_400_000;
const at = (hour: number): number => midnight + hour * hourMs;

function dailyBytes(spent = 0, hour = 0): DailyBytes {
  const day = new DailyBytes(1000, { day: today, bytes: spent });
  day.turn(at(hour), true);
  return day;
}

describe('daily bytes', () => {
  it('are used up when the quota is sent, and available again on the next UTC day', () => {
    const day = new DailyBytes(1000, undefined);
    day.turn(at(23.9), true);
    day.spend(999);
    assert.notEqual(day.reach(), 'none');
    day.spend(1);
    assert.equal(day.reach(), 'none');
    day.turn(at(24) - 1, true);
    assert.equal(day.reach(), 'none');
    day.turn(at(24), true);
    assert.equal(day.reach(), 'all');
    assert.deepEqual(day.count, { day: today + 1, bytes: 0 });
  });

  it('give the backlog half at once, and of the other half the share of the day that has passed', () => {
    for (const [hour, spent, reach] of [
      [0, 499, 'all'],
      [0, 500, 'live'],
      [11, 499, 'all'],
      [11, 500, 'live'],
      [18, 749, 'all'],
      [18, 750, 'live'],
      [23.99, 999, 'all'],
      [23.99, 1000, 'none'],
      [3, 999, 'live'],
    ] as const) {
      assert.equal(dailyBytes(spent, hour).reach(), reach, `${spent} at ${hour} h`);
    }
  });

  it('allow a tenth more for events and checkpoints, and no further', () => {
    assert.equal(dailyBytes(1000).takesEvidence(), true);
    assert.equal(dailyBytes(1099).takesEvidence(), true);
    assert.equal(dailyBytes(1100).takesEvidence(), false);
    assert.equal(new DailyBytes(1000, undefined).takesEvidence(), true);
  });

  it('last all day for a live stream within the quota, even after an outage', () => {
    const day = new DailyBytes(1_000_000, { day: today, bytes: 0 });
    let minutes = 0;
    for (let minute = 0; minute < 1440; minute += 1) {
      day.turn(midnight + minute * 60_000, true);
      if (day.reach() !== 'none') minutes += 1;
      day.spend(300);
      for (let batches = 0; batches < 1000 && day.reach() === 'all'; batches += 1) day.spend(100);
    }
    assert.equal(minutes, 1440);
    assert.ok(day.count.bytes > 990_000, 'the backlog gets what is left');
  });

  it('continue their count after a restart', () => {
    const day = dailyBytes(1000, 12);
    assert.equal(day.reach(), 'none');
    assert.deepEqual(day.count, { day: today, bytes: 1000 });
  });

  it('are not renewed by a clock known to be wrong, behind or ahead', () => {
    for (const wrong of [0, 5 * 86_400_000, at(48), at(10_000)]) {
      const day = new DailyBytes(1000, { day: today, bytes: 1000 });
      day.turn(wrong, false);
      assert.equal(day.reach(), 'none');
      day.spend(7);
      day.turn(at(13), true);
      assert.deepEqual(day.count, { day: today, bytes: 1007 });
    }
  });

  it('give the backlog no more than half while the time of day is unknown', () => {
    const day = new DailyBytes(1000, { day: today, bytes: 500 });
    day.turn(at(23), false);
    assert.equal(day.reach(), 'live');
  });

  it('are not renewed by a clock that is set back, and not withheld after a clock that was years ahead', () => {
    const day = new DailyBytes(1000, { day: today + 1500, bytes: 1000 });
    day.turn(at(12), true);
    assert.deepEqual(day.count, { day: today, bytes: 1000 });
    day.turn(at(24), true);
    assert.deepEqual(day.count, { day: today + 1, bytes: 0 });
  });

  it('begin with a good clock after a count begun in 1970', () => {
    const day = new DailyBytes(1000, undefined);
    day.turn(60_000, false);
    day.spend(400);
    assert.deepEqual(day.count, { day: 0, bytes: 400 });
    day.turn(at(9), true);
    assert.deepEqual(day.count, { day: today, bytes: 0 });
  });
});
