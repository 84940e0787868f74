import type { SeqRange } from './seq-set.ts';

interface Gap {
  from: number;
  to: number;
  sinceMs: number;
  reported: boolean;
}

/**
 * Tells a gap that lasts from one that is only passing: live batches overtake a backlog, so that
 * missing numbers are normal for a while. One per stream; `sinceMs` is monotonic.
 */
export class GapWatch {
  readonly #graceMs: number;
  #gaps: Gap[] = [];

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** When the next gap will have lasted long enough, if none changes. */
  get dueMs(): number {
    return this.#gaps.reduce(
      (due, { sinceMs, reported }) => (reported ? due : Math.min(due, sinceMs + this.#graceMs)),
      Infinity,
    );
  }

  /**
   * `missing` as of now, in order → the gaps to report for the first time, and the reported ones that are gone.
   * `atOnce`: those too that have not lasted yet, as no later check follows.
   */
  check(
    missing: readonly SeqRange[],
    nowMs: number,
    atOnce = false,
  ): { lasting: SeqRange[]; closed: SeqRange[] } {
    const before = this.#gaps;
    const gone = new Set(before.filter(({ reported }) => reported));
    let first = 0;
    this.#gaps = missing.map(([from, to]) => {
      const gap: Gap = { from, to, sinceMs: nowMs, reported: false };
      while (first < before.length && before[first]!.to < from) first++;
      for (let index = first; index < before.length && before[index]!.from <= to; index++) {
        const kin = before[index]!;
        gone.delete(kin);
        gap.sinceMs = Math.min(gap.sinceMs, kin.sinceMs);
        gap.reported ||= kin.reported;
      }
      return gap;
    });
    const lasting = this.#gaps.filter((gap) => {
      return !gap.reported && (atOnce || nowMs - gap.sinceMs >= this.#graceMs);
    });
    for (const gap of lasting) gap.reported = true;
    return { lasting: lasting.map(rangeOf), closed: [...gone].map(rangeOf) };
  }
}

function rangeOf({ from, to }: Gap): SeqRange {
  return [from, to];
}
