import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CheckpointOptions } from '../../../../src/silo/options.ts';
import {
  CheckpointSchedule,
  type SentBytes,
} from '../../../../src/silo/tenant/forward/checkpoint-schedule.ts';

const defaults: CheckpointOptions = { everyMs: 3_600_000, shareMax: 0.1 };
const checkpointBytes = 1600;
const hour = 3600;

interface Flow {
  /** Seconds between two batches, and the bytes of one. */
  everyS: number;
  /** Batches at each of them. */
  count?: number;
  bytes: number;
  seconds: number;
  isOnline?: boolean;
  options?: CheckpointOptions;
}

/** Checks once a second, as a silo does, and returns the seconds and the numbers that were signed. */
function sign({ everyS, count = 1, bytes, seconds, isOnline = true, options = defaults }: Flow) {
  const schedule = new CheckpointSchedule(options);
  const sent: SentBytes = { telemetry: 0, checkpoint: 0 };
  const signed: { second: number; seq: number }[] = [];
  let seq = 0;
  for (let second = 0; second < seconds; second += 1) {
    if (second % everyS === 0) {
      seq += count;
      if (isOnline) sent.telemetry += bytes;
    }
    if (seq === signed.at(-1)?.seq || !schedule.isDue(second * 1000, seq, sent)) continue;
    schedule.signed(second * 1000, seq, sent);
    signed.push({ second, seq });
    if (isOnline) sent.checkpoint += checkpointBytes;
  }
  return { signed, sent, seq };
}

function longestPause(signed: readonly { second: number }[], end: number): number {
  const seconds = [...signed.map(({ second }) => second), end];
  return Math.max(...seconds.slice(1).map((second, index) => second - seconds[index]!));
}

describe('the schedule of checkpoints', () => {
  it('signs the first head at once', () => {
    assert.deepEqual(sign({ everyS: 60, bytes: 600, seconds: 1 }).signed, [{ second: 0, seq: 1 }]);
  });

  for (const [what, everyS, bytes] of [
    ['one small batch a minute', 60, 600],
    ['one compressed batch a minute', 60, 350],
    ['one batch in ten minutes', 600, 900],
    ['one batch a second', 1, 900],
    ['large batches', 1, 100_000],
  ] as const) {
    it(`stays within its share and within an hour: ${what}`, () => {
      const seconds = 24 * hour;
      const { signed, sent } = sign({ everyS, bytes, seconds });
      const hourly = checkpointBytes * (seconds / hour + 1);
      assert.ok(
        sent.checkpoint <= Math.max(sent.telemetry * 0.1 + checkpointBytes, hourly),
        `${sent.checkpoint}`,
      );
      assert.ok(longestPause(signed, seconds) <= hour, `${longestPause(signed, seconds)} s`);
      const pauses = signed.slice(1).map(({ second }, index) => second - signed[index]!.second);
      assert.ok(Math.min(...pauses) >= 60, 'sooner than after a minute');
    });
  }

  it('signs once a minute if batches are large enough', () => {
    const { signed } = sign({ everyS: 1, bytes: 2000, seconds: hour });
    assert.equal(signed.length, 60);
  });

  it('signs after 500 batches of any size', () => {
    const { signed } = sign({ everyS: 1, count: 100, bytes: 1, seconds: 60 });
    const steps = signed.slice(1).map(({ seq }, index) => seq - signed[index]!.seq);
    assert.deepEqual(new Set(steps), new Set([500]));
  });

  it('signs once a minute while nothing can be sent, since that costs no bytes', () => {
    assert.equal(sign({ everyS: 60, bytes: 600, seconds: hour, isOnline: false }).signed.length, 60);
  });

  it('uses the configured times', () => {
    const options = { everyMs: 60_000, shareMax: 0.1 };
    assert.equal(sign({ everyS: 60, bytes: 600, seconds: hour, options }).signed.length, 60);
    const whole = { everyMs: 3_600_000, shareMax: 1 };
    const { sent } = sign({ everyS: 60, bytes: 600, seconds: 24 * hour, options: whole });
    assert.ok(sent.checkpoint > sent.telemetry * 0.8 && sent.checkpoint <= sent.telemetry + checkpointBytes);
  });
});
