import { backoffMs } from '../../base/backoff.ts';
import type { Cancel, Clock } from '../../base/clock.ts';

/** Absent points are reported at intervals that grow to this, so that they do not fill the spool. */
const reportPauseMaxMs = 60_000;

export interface AbsenceCheck {
  /** Checks after `delayMs` (0: at once), then regularly. */
  begin(delayMs: number): void;
  stop(): void;
}

/** Calls `look` once an interval; each time it reports something absent, the interval grows. */
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
