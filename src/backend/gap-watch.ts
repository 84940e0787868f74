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

  /** `missing` as of now → the gaps to report for the first time, and the reported ones that are gone. */
  look(missing: readonly SeqRange[], nowMs: number): { lasting: SeqRange[]; closed: SeqRange[] } {
    const before = this.#gaps;
    this.#gaps = missing.map(([from, to]) => {
      const kin = before.filter((gap) => gap.from <= to && gap.to >= from);
      const sinceMs = Math.min(nowMs, ...kin.map((gap) => gap.sinceMs));
      return { from, to, sinceMs, reported: kin.some((gap) => gap.reported) };
    });
    const lasting = this.#gaps.filter((gap) => !gap.reported && nowMs - gap.sinceMs >= this.#graceMs);
    for (const gap of lasting) gap.reported = true;
    const open = (gap: Gap): boolean => missing.some(([from, to]) => from <= gap.to && to >= gap.from);
    const closed = before.filter((gap) => gap.reported && !open(gap));
    return { lasting: lasting.map(rangeOf), closed: closed.map(rangeOf) };
  }
}

function rangeOf({ from, to }: Gap): SeqRange {
  return [from, to];
}
