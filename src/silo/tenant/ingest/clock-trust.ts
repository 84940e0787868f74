/**
 * Whether the wall clock can be trusted. A Pi has no battery clock: after a power cut it starts in 1970, or with the
 * time of its last shutdown, until NTP has set it.
 */
export type ClockTrust = 'good' | 'unknown';

export interface ClockEvidence {
  /** The kernel's own flag: NTP has set the clock and keeps it (adjtimex(2), STA_UNSYNC clear). */
  synchronized: boolean;
  /** The kernel set the clock from a hardware clock at boot. */
  setFromHardware: boolean;
  wallMs: number;
  /** Since boot. */
  monotonicMs: number;
  /** No right clock can be earlier: release day, certificate's notBefore. */
  floorMs: number;
}

/** NTP needs some seconds after boot; an unconfirmed clock has this long to be corrected. */
export const bootSettleMs = 60_000;

/**
 * A synchronized clock is good. Any other clock must be past the floor, and in the first minute after boot it must
 * have been set from hardware, since a saved time passes the floor and is still wrong.
 */
export function judgeClock(evidence: ClockEvidence): ClockTrust {
  if (evidence.synchronized) return 'good';
  if (evidence.wallMs < evidence.floorMs) return 'unknown';
  return evidence.setFromHardware || evidence.monotonicMs >= bootSettleMs ? 'good' : 'unknown';
}
