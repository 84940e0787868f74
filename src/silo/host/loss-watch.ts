import { type LossReason, lossReasons } from '../../reading/loss.ts';

/** Older losses are reported by counters and events only. */
const recentMs = 60_000;

/** Which losses go on, from totals that are compared at intervals. Pure: times come in. */
export class LossWatch {
  readonly #rises = new Map<LossReason, { total: number; atMs: number }>();

  /**
   * `totals`: samples lost so far, by reason; they restart at 0 with the silo. Unknown reasons are ignored: a faulty
   * silo could make up new ones without end.
   */
  note(totals: Readonly<Record<string, number>>, nowMs: number): void {
    for (const reason of lossReasons) {
      const total = totals[reason] ?? 0;
      const { total: before, atMs } = this.#rises.get(reason) ?? { total: 0, atMs: -Infinity };
      this.#rises.set(reason, { total, atMs: total > before ? nowMs : atMs });
    }
  }

  /** Reasons for which samples were lost within the last minute. */
  recent(nowMs: number): LossReason[] {
    return [...this.#rises].filter(([, { atMs }]) => nowMs - atMs < recentMs).map(([reason]) => reason);
  }
}
