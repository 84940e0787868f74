/** What the spool and the uplink have counted so far. */
export interface BatchCounts {
  /** Stored so far. */
  seq: number;
  waiting: number;
  /** That the broker accepted so far. */
  accepted: number;
}

/**
 * For how long the broker has accepted no batch although there were some to accept. Whatever else ends a batch's
 * wait, such as being set aside or given up, is no acceptance.
 */
export class Acceptance {
  #last: BatchCounts;
  #sinceMs: number | null = null;

  constructor(counts: BatchCounts) {
    this.#last = counts;
  }

  /** To be called often; the answer is as exact as that. Null where nothing waits to be accepted. */
  unacceptedMs(counts: BatchCounts, nowMs: number): number | null {
    const { seq, accepted } = this.#last;
    if (counts.accepted > accepted) this.#sinceMs = counts.waiting > 0 ? nowMs : null;
    else if (counts.waiting > 0 || counts.seq > seq) this.#sinceMs ??= nowMs;
    this.#last = counts;
    return this.#sinceMs === null ? null : Math.round(nowMs - this.#sinceMs);
  }
}
