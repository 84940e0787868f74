import type { Cancel, Clock } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { Sample, Value } from '../../reading/sample.ts';
import type { Telegram } from './message-reader.ts';

/** Sentences of one burst follow each other closer than this; after it the burst is over. */
const burstPauseMs = 50;

export interface Sampler {
  /**
   * Points of a valid telegram replace the collected ones. Those of a damaged one only fill gaps, and wait an interval
   * for a valid telegram.
   */
  add(telegram: Pick<Telegram, 'values' | 'quality'>, isSound: boolean): void;
  /** Delivers what was collected so far at once. */
  end(): void;
  cancel(): void;
}

/** A point's current value or quality; both if it was read and is implausible. */
interface CollectedPoint {
  value?: Value;
  quality?: Quality;
}

/**
 * Reduces a free-running sensor's telegrams to one sample per interval: the latest of every point that came since
 * the last sample, stamped with the arrival of the latest. If a sensor sends several kinds of message, it
 * waits for the end of the burst (half an interval at most), so that one burst becomes one sample.
 */
export function createSampler(
  everyMs: number,
  waitsForBurst: boolean,
  clock: Clock,
  give: (sample: Omit<Sample, 'device'>) => void,
): Sampler {
  let points = new Map<string, CollectedPoint>();
  let stamp = { wallMs: 0, monotonicMs: 0 };
  let givenAt = -Infinity;
  /** When the collected valid telegrams may leave; null if there are none. */
  let dueAt: number | null = null;
  let cancelDue: Cancel = () => {};

  const end = (): void => {
    cancelDue();
    if (points.size === 0) return;
    const values: Record<string, Value> = {};
    const quality: Record<string, Quality> = {};
    for (const [name, point] of points) {
      if (point.value !== undefined) values[name] = point.value;
      if (point.quality !== undefined) quality[name] = point.quality;
    }
    points = new Map();
    dueAt = null;
    givenAt = clock.monotonicMs();
    give({ ...stamp, values, ...(Object.keys(quality).length > 0 && { quality }) });
  };

  const endAt = (at: number): void => {
    const waitMs = at - clock.monotonicMs();
    if (waitMs <= 0) return end();
    cancelDue();
    cancelDue = clock.after(waitMs, end);
  };

  return {
    add: ({ values, quality }, isSound) => {
      const nowMs = clock.monotonicMs();
      const isFirst = points.size === 0;
      for (const [name, value] of Object.entries(values)) points.set(name, { value });
      for (const [name, why] of Object.entries(quality)) {
        if (isSound || !points.has(name)) points.set(name, { ...points.get(name), quality: why });
      }
      stamp = { wallMs: clock.wallMs(), monotonicMs: nowMs };
      if (!isSound) {
        if (isFirst) endAt(Math.max(givenAt, nowMs) + everyMs);
        return;
      }
      dueAt ??= Math.max(givenAt + everyMs, nowMs);
      const burstEndsAt = waitsForBurst ? Math.min(nowMs + burstPauseMs, dueAt + everyMs / 2) : nowMs;
      endAt(Math.max(dueAt, burstEndsAt));
    },
    end,
    cancel: () => {
      cancelDue();
      points = new Map();
    },
  };
}
