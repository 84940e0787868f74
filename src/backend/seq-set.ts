/** Both ends included. */
export type SeqRange = [from: number, to: number];

/**
 * A set of sequence numbers kept as sorted runs that touch nowhere: a stream without holes is one run
 * however long it is, so that memory goes with the number of holes.
 */
export class SeqSet {
  readonly #runs: SeqRange[];

  constructor(runs: readonly SeqRange[] = []) {
    this.#runs = runs.map(([from, to]) => [from, to]);
  }

  get runs(): readonly Readonly<SeqRange>[] {
    return this.#runs;
  }

  /** Numbers in it. */
  get size(): number {
    return this.#runs.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  }

  get first(): number | undefined {
    return this.#runs[0]?.[0];
  }

  get last(): number | undefined {
    return this.#runs.at(-1)?.[1];
  }

  has(seq: number): boolean {
    const run = this.#runs[this.#indexFrom(seq)];
    return run !== undefined && run[0] <= seq;
  }

  add(from: number, to: number = from): void {
    // Runs that overlap or touch [from, to] melt into one.
    const start = this.#indexFrom(from - 1);
    let end = start;
    let merged: SeqRange = [from, to];
    for (; end < this.#runs.length && this.#runs[end]![0] <= to + 1; end++) {
      merged = [Math.min(merged[0], this.#runs[end]![0]), Math.max(merged[1], this.#runs[end]![1])];
    }
    this.#runs.splice(start, end - start, merged);
  }

  /** The runs of [from, to] that are not in the set. */
  missing(from: number, to: number): SeqRange[] {
    const missing: SeqRange[] = [];
    let next = from;
    for (let index = this.#indexFrom(from); index < this.#runs.length && next <= to; index++) {
      const [runFrom, runTo] = this.#runs[index]!;
      if (runFrom > next) missing.push([next, Math.min(runFrom - 1, to)]);
      next = runTo + 1;
    }
    if (next <= to) missing.push([next, to]);
    return missing;
  }

  /** Index of the first run that ends at `seq` or later. */
  #indexFrom(seq: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]![1] < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** `7`, `7–9, 12`; after `limit` runs only how many more there are. */
export function formatRanges(ranges: readonly Readonly<SeqRange>[], limit = 10): string {
  const shown = ranges.slice(0, limit).map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`));
  if (ranges.length > limit) shown.push(`and ${ranges.length - limit} more runs`);
  return shown.join(', ');
}
