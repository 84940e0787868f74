/** What the spool and the uplink have counted so far. */
export interface BatchCounts {
  /** Stored so far. */
  seq: number;
  waiting: number;
  /** Accepted by the broker so far. */
  accepted: number;
}

/**
 * For how long the broker has accepted no batch although some were waiting. A batch that is quarantined or given up
 * does not count as accepted.
 */
export class Acceptance {
  #last: BatchCounts;
  #sinceMs: number | null = null;

  constructor(counts: BatchCounts) {
    this.#last = counts;
  }

  /** Exact to the interval of the calls. Null if nothing waits to be accepted. */
  unacceptedMs(counts: BatchCounts, nowMs: number): number | null {
    const { seq, accepted } = this.#last;
    if (counts.accepted > accepted) this.#sinceMs = counts.waiting > 0 ? nowMs : null;
    else if (counts.waiting > 0 || counts.seq > seq) this.#sinceMs ??= nowMs;
    this.#last = counts;
    return this.#sinceMs === null ? null : Math.round(nowMs - this.#sinceMs);
  }
}
