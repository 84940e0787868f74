export interface BackoffOptions {
  /** The first pause. */
  initialMs: number;
  /** No pause is longer. */
  maxMs: number;
  /** Share of a pause that is random, 0 to 1: it keeps a fleet from returning in step. */
  jitter: number;
}

/**
 * The pause before try number `failures` + 1, doubling from `initialMs` to `maxMs`.
 * `random` is a number in [0, 1); pure, so the caller keeps the count.
 */
export function backoffMs(failures: number, options: BackoffOptions, random: number): number {
  const exponent = Math.min(Math.max(failures - 1, 0), 30);
  const pause = Math.min(options.initialMs * 2 ** exponent, options.maxMs);
  return pause * (1 - options.jitter + options.jitter * random);
}
