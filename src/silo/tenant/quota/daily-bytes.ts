import type { Reach, SentCount } from '../../../spool/spool.ts';

const dayMs = 86_400_000;

/**
 * The backlog may take half of the day's allowance at once; of the other half as much as of the day has
 * passed. So live batches find half of it left whatever an outage has piled up, and who needs no more than
 * the allowance over a whole day gets it to the end.
 */
const backlogShare = 0.5;

/**
 * Events and checkpoints are needed most when something is held back, and are small: they go on for a tenth
 * more. Without a bound, a silo that drops all day long would report itself into a telephone bill.
 */
const evidenceShare = 0.1;

/** Past so many bytes sent the backlog waits; `passed`: share of the day, 0 to 1. */
export function backlogBytesMax(bytesMax: number, passed: number): number {
  return bytesMax * Math.max(backlogShare, passed);
}

/** What may be sent on one UTC day. Pure but for its count. */
export class DailyBytes {
  readonly #bytesMax: number;
  #count: SentCount | undefined;
  /** Share of the day that has passed, as far as a good clock says. */
  #passed = 0;

  /** `count` as it was kept; undefined where nothing was counted before. */
  constructor(bytesMax: number, count: SentCount | undefined) {
    this.#bytesMax = bytesMax;
    this.#count = count;
  }

  /** The count so far. */
  get count(): SentCount {
    return this.#count ?? { day: 0, bytes: 0 };
  }

  /**
   * Looks at the clock. Only one that is known good begins a new day, and only a later one: a box that
   * starts in 1970 goes on counting where it was. Where a good clock says an earlier day than the count's,
   * the count was begun by a clock that was ahead, and goes over to the day that it is.
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

  /** Whether events and checkpoints may still go. */
  takesEvidence(): boolean {
    return this.count.bytes < this.#bytesMax * (1 + evidenceShare);
  }

  /** Which batches may go now. */
  reach(): Reach | 'none' {
    const { bytes } = this.count;
    if (bytes >= this.#bytesMax) return 'none';
    return bytes < backlogBytesMax(this.#bytesMax, this.#passed) ? 'all' : 'live';
  }
}
