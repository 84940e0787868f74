export type Cancel = () => void;

/**
 * All time comes in through this interface, so that tests can set it.
 * Intervals, deadlines and ages use `monotonicMs`; only a sample's `ts` uses `wallMs`.
 */
export interface Clock {
  /** Milliseconds since 1970 UTC as the system believes them; may jump either way. */
  wallMs(): number;
  /** CLOCK_MONOTONIC in milliseconds: never jumps, equal in every thread and process of one boot. */
  monotonicMs(): number;
  /** Calls back once, `delayMs` monotonic milliseconds from now, unless cancelled before. */
  after(delayMs: number, callback: () => void): Cancel;
}

/** setTimeout overflows to 1 ms past this (2^31 - 1), which would turn a long pause into a busy loop. */
const timerMaxMs = 2_147_483_647;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), timerMaxMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or at once when the signal aborts; never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal?.addEventListener('abort', finish, { once: true });
  });
}
