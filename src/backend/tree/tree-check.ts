import type { FiledHead } from './head-file.ts';
import { RightEdge } from './merkle-tree.ts';

/** Holds the lines of one gateway, as they are read, against the heads that were signed of them. */
export class TreeCheck {
  readonly faults: string[] = [];
  readonly #who: string;
  /** In the order of their sizes. */
  readonly #heads: readonly FiledHead[];
  readonly #edge: RightEdge;
  /** Lines that were removed on purpose, before the first that is there. */
  readonly removed: number;
  #next = 0;
  /** Lines that are as they were signed. */
  #good: number;
  /** The first and the last line after those. */
  #from: string | undefined;
  #to = '';

  constructor(who: string, heads: readonly FiledHead[], edge = new RightEdge()) {
    this.#who = who;
    this.#edge = edge;
    this.removed = edge.size;
    this.#good = edge.size;
    this.#heads = heads.filter(({ head }) => head.size > edge.size);
  }

  get lines(): number {
    return this.#edge.size;
  }

  /** Lines under a head that is theirs. */
  get signed(): number {
    return this.#good;
  }

  take(leaf: Buffer, place: string): void {
    this.#edge.append(leaf);
    this.#from ??= place;
    this.#to = place;
    for (; this.#heads[this.#next]?.head.size === this.#edge.size; this.#next++) {
      this.#judge(this.#heads[this.#next]!);
    }
  }

  /** No line comes any more. */
  end(): void {
    const newest = this.#heads.at(-1);
    if (newest === undefined || newest.head.size <= this.#edge.size) return;
    const { size } = newest.head;
    const gone = `${size - this.#edge.size} of ${size} lines that were signed (${newest.place}) are gone`;
    const where = this.#edge.size === 0 ? 'nothing of this gateway is there' : `the last one is ${this.#to}`;
    this.faults.push(`${this.#who}: ${gone}; ${where}`);
  }

  #judge({ head, place }: FiledHead): void {
    if (this.#edge.root().equals(head.root)) {
      this.#good = head.size;
      this.#from = undefined;
      return;
    }
    // From here on no later head fits either, unless another tree was signed too.
    if (this.faults.length > 0) return;
    const lines = `lines ${this.#good + 1} to ${head.size} (${this.#from ?? this.#to} to ${this.#to})`;
    this.faults.push(`${this.#who}: ${lines} are not those that were signed (${place})`);
  }
}
