import type { Quality } from './quality.ts';

/** A 64-bit integer beyond 2^53 is a decimal string; every other number is a number. */
export type Value = number | boolean | string;

/**
 * One device's values at one instant, as it leaves the fieldbus: it names a device and no tenant.
 * A point that was not read is absent from `values` and stands in `quality`; one that is `implausible` stands in both.
 */
export interface Sample {
  device: string;
  /** Wall clock when the answer arrived, ms since 1970 UTC, for as much as the clock can be trusted. */
  wallMs: number;
  /** CLOCK_MONOTONIC at the same instant: from it the true time follows once the clock is known good. */
  monotonicMs: number;
  values: Readonly<Record<string, Value>>;
  /** Absent where every point was read and is plausible. */
  quality?: Readonly<Record<string, Quality>>;
}

/** How many points a sample speaks of, read or not: the measure of queues between threads. */
export function readingsOf(sample: Sample): number {
  const unread = Object.keys(sample.quality ?? {}).filter((point) => !Object.hasOwn(sample.values, point));
  return Object.keys(sample.values).length + unread.length;
}
