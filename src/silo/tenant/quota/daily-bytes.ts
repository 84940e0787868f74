import type { Reach, SentCount } from '../../../spool/spool.ts';

const dayMs = 86_400_000;

/**
 * The backlog may use half of the day's bytes at once, and of the other half the share of the day that has passed. So
 * live batches have half of the bytes even after an outage, and a silo whose live batches need no more than the quota
 * over a whole day can send until its end.
 */
const backlogShare = 0.5;

/**
 * Events and checkpoints are needed most when batches wait, and are small: they may use a tenth more. Without this
 * limit, a silo that drops samples all day would exceed its data plan by reports.
 */
const evidenceShare = 0.1;

/** Bytes sent at which the backlog waits; `passed`: share of the day, 0 to 1. */
export function backlogBytesMax(bytesMax: number, passed: number): number {
  return bytesMax * Math.max(backlogShare, passed);
}

/** The quota of bytes sent per UTC day. Pure but for its count. */
export class DailyBytes {
  readonly #bytesMax: number;
  #count: SentCount | undefined;
  /** Share of the day that has passed by a good clock. */
  #passed = 0;

  /** `count`: the stored count; undefined if there is none. */
  constructor(bytesMax: number, count: SentCount | undefined) {
    this.#bytesMax = bytesMax;
    this.#count = count;
  }

  /** The count so far. */
  get count(): SentCount {
    return this.#count ?? { day: 0, bytes: 0 };
  }

  /**
   * Checks the clock. Only a good clock begins a new day, and only a later one: a box that starts in 1970 goes on with
   * its count. If a good clock shows an earlier day than the count's, the clock was ahead when the count began; the
   * count moves to the present day.
   */
  turn(wallMs: number, isClockGood: boolean): void {
    const day = Math.floor(wallMs / dayMs);
    this.#passed = isClockGood ? wallMs / dayMs - day : 0;
    if (this.#count === undefined) this.#count = { day, bytes: 0 };
    if (!isClockGood || day === this.#count.day) return;
    this.#count = { day, bytes: day > this.#count.day ? 0 : this.#count.bytes };
  }

  spend(bytes: number): void {
    const { day, bytes: before } = this.count;
    this.#count = { day, bytes: before + bytes };
  }

  /** Whether events and checkpoints may still be sent. */
  takesEvidence(): boolean {
    return this.count.bytes < this.#bytesMax * (1 + evidenceShare);
  }

  /** Which batches may be sent now. */
  reach(): Reach | 'none' {
    const { bytes } = this.count;
    if (bytes >= this.#bytesMax) return 'none';
    return bytes < backlogBytesMax(this.#bytesMax, this.#passed) ? 'all' : 'live';
  }
}
