import type { Quality } from './quality.ts';

/**
 * The room `reading`: what a device was read as. A `Sample` is one device's values at one instant; `point.ts` says what
 * a point is, `quality.ts` why it has no trustworthy value, `registers.ts`, `scale.ts` and `range.ts` turn registers
 * into checked values. Everything here is pure, and names devices and points, never a tenant. The fieldbus makes
 * samples; silo, spool and the status read them.
 */

/** A 64-bit integer beyond 2^53 is a decimal string; every other number is a number. */
export type Value = number | boolean | string;

/**
 * One device's values at one instant, as it leaves the fieldbus: it names a device and no tenant.
 * A point that was not read is absent from `values` and present in `quality`; an `implausible` one is in both.
 */
export interface Sample {
  device: string;
  /** Wall clock when the answer arrived, ms since 1970 UTC, as far as the clock can be trusted. */
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
