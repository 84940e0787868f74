import { type LossReason, lossReasons } from '../../reading/loss.ts';

/** What was lost longer ago is history: counters and events tell of it. */
const recentMs = 60_000;

/** Which losses go on, by totals that are looked at again and again. Pure: times come in. */
export class LossWatch {
  readonly #rises = new Map<LossReason, { total: number; atMs: number }>();

  /**
   * `totals`: samples lost so far, by reason; they begin again at 0 with the silo. Reasons that a silo makes up are
   * not kept: there may be new ones for ever.
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
