import type { Cancel, Clock } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { Sample } from '../../reading/sample.ts';
import type { Telegram } from './messages.ts';

/** Sentences of one burst follow each other closer than this; after it the burst is over. */
const burstPauseMs = 50;

export interface Gathering {
  /** A sound telegram's points replace what was gathered; a damaged one's only fill what is missing. */
  add(telegram: Telegram, isSound: boolean): void;
  /** Gives what was gathered so far at once. */
  end(): void;
  cancel(): void;
}

/**
 * Thins what a free-running sensor says to one sample per interval: the latest of every point that came since
 * the last sample, stamped with the arrival of the latest. Where a sensor sends several kinds of message, it
 * waits for the end of the burst (half an interval at most), so that one burst becomes one sample.
 */
export function createGathering(
  everyMs: number,
  waitsForBurst: boolean,
  clock: Clock,
  give: (sample: Omit<Sample, 'device'>) => void,
): Gathering {
  let points = new Map<string, { value: Sample['values'][string] } | { quality: Quality }>();
  let stamp = { wallMs: 0, monotonicMs: 0 };
  let givenAt = -Infinity;
  let dueAt = 0;
  let cancelDue: Cancel = () => {};

  const end = (): void => {
    cancelDue();
    if (points.size === 0) return;
    const values: Record<string, Sample['values'][string]> = {};
    const quality: Record<string, Quality> = {};
    for (const [name, point] of points) {
      if ('value' in point) values[name] = point.value;
      else quality[name] = point.quality;
    }
    points = new Map();
    givenAt = clock.monotonicMs();
    give({ ...stamp, values, ...(Object.keys(quality).length > 0 && { quality }) });
  };

  return {
    add: ({ values, quality }, isSound) => {
      const nowMs = clock.monotonicMs();
      if (points.size === 0) dueAt = Math.max(givenAt + everyMs, nowMs);
      for (const [name, value] of Object.entries(values)) points.set(name, { value });
      for (const [name, why] of Object.entries(quality)) {
        if (isSound || !points.has(name)) points.set(name, { quality: why });
      }
      stamp = { wallMs: clock.wallMs(), monotonicMs: nowMs };
      const wantedAt = waitsForBurst ? Math.min(nowMs + burstPauseMs, dueAt + everyMs / 2) : nowMs;
      const waitMs = Math.max(dueAt, wantedAt) - nowMs;
      if (waitMs <= 0) return end();
      cancelDue();
      cancelDue = clock.after(waitMs, end);
    },
    end,
    cancel: () => {
      cancelDue();
      points = new Map();
    },
  };
}
