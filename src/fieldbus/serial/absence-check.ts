import { backoffMs } from '../../base/backoff.ts';
import type { Cancel, Clock } from '../../base/clock.ts';

/** What is absent is reported in pauses that grow to this, so that it does not fill the spool. */
const reportPauseMaxMs = 60_000;

export interface AbsenceCheck {
  /** Looks after `delayMs`, for 0 at once, and on from there. */
  begin(delayMs: number): void;
  stop(): void;
}

/** Looks once an interval whether something is absent; `look` reports it and says so, and is then asked more rarely. */
export function createAbsenceCheck(clock: Clock, everyMs: number, look: () => boolean): AbsenceCheck {
  const pause = { initialMs: everyMs, maxMs: Math.max(everyMs, reportPauseMaxMs), jitter: 0 };
  let cancel: Cancel = () => {};
  let reports = 0;
  const round = (): void => {
    reports = look() ? reports + 1 : 0;
    cancel = clock.after(backoffMs(reports, pause, 0), round);
  };
  return {
    begin: (delayMs) => {
      cancel();
      reports = 0;
      if (delayMs > 0) cancel = clock.after(delayMs, round);
      else round();
    },
    stop: () => cancel(),
  };
}
