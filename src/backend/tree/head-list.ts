import type { KeyObject } from 'node:crypto';
import type { FiledHead } from './head-file.ts';
import { isSignedBy } from './signed-note.ts';

/** Heads of one gateway that are compared: beyond it every second one goes, and what was cut is still found. */
const headsMax = 500;

/** The heads of one gateway's tree, as one file has them. */
export class HeadList {
  #heads: FiledHead[] = [];
  /** Heads that cannot be of one growing tree. */
  readonly faults: string[] = [];

  add(filed: FiledHead): void {
    const last = this.#heads.at(-1);
    const { size, root } = filed.head;
    if (last !== undefined && size <= last.head.size) {
      if (size === last.head.size && root.equals(last.head.root)) return;
      const what = size === last.head.size ? 'another tree of as many lines' : `a tree of ${size} lines`;
      const message = `after ${last.head.size} lines were signed (${last.place}), ${what} was signed: the log was set back (${filed.place})`;
      if (this.faults.length < headsMax) this.faults.push(message);
      // Both are to be compared.
    }
    this.#heads.push(filed);
    if (this.#heads.length > headsMax) this.#thin();
  }

  /** In the order of their sizes. */
  get heads(): readonly FiledHead[] {
    return this.#heads.toSorted((a, b) => a.head.size - b.head.size);
  }

  /** Takes out the heads that none of `keys` signed, and returns where they are. */
  removeUnsigned(keys: readonly KeyObject[]): string[] {
    const isGood = ({ note, head }: FiledHead): boolean =>
      keys.some((key) => isSignedBy(note, head.origin, key));
    const bad = this.#heads.filter((each) => !isGood(each));
    this.#heads = this.#heads.filter((each) => !bad.includes(each));
    return bad.map(({ place }) => place);
  }

  #thin(): void {
    this.#heads = this.#heads.filter((_, index) => index % 2 === 1 || index === this.#heads.length - 1);
  }
}
