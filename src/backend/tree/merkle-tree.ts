import { createHash } from 'node:crypto';

/*
 * Merkle trees of RFC 9162 §2.1 (and RFC 6962): a leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right).
 * All hashes are 32 bytes. Leaves stream through: nothing here holds more than a hash for each level of a tree.
 */

const hashBytes = 32;
const leafPrefix = Buffer.of(0);
const nodePrefix = Buffer.of(1);

/** Hashes a leaf that comes in parts. */
export function beginLeaf() {
  return createHash('sha256').update(leafPrefix);
}

export function leafHash(data: string | Uint8Array): Buffer {
  return beginLeaf().update(data).digest();
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return createHash('sha256').update(nodePrefix).update(left).update(right).digest();
}

/** The right edge of a growing tree: the roots of its complete subtrees, largest first. */
export class RightEdge {
  #size: number;
  readonly #roots: Buffer[];

  constructor(size = 0, roots: readonly Buffer[] = []) {
    this.#size = size;
    this.#roots = [...roots];
  }

  get size(): number {
    return this.#size;
  }

  get roots(): readonly Buffer[] {
    return this.#roots;
  }

  append(leaf: Buffer): void {
    this.#roots.push(leaf);
    for (let complete = this.#size; complete % 2 === 1; complete = half(complete)) {
      const right = this.#roots.pop()!;
      this.#roots.push(nodeHash(this.#roots.pop()!, right));
    }
    this.#size++;
  }

  /** MTH(D[size]). */
  root(): Buffer {
    if (this.#size === 0) return createHash('sha256').digest();
    return this.#roots.reduceRight((right, left) => nodeHash(left, right));
  }
}

/** Whether `roots` can be the edge of a tree of `size`: one for each bit that is set. */
export function isEdge(size: number, roots: readonly Uint8Array[]): boolean {
  let bits = 0;
  for (let rest = size; rest > 0; rest = half(rest)) bits += rest % 2;
  return bits === roots.length && roots.every((root) => root.length === hashBytes);
}

/** Leaves from one to before another, whose subtree's root stands in a proof. */
export type Span = [from: number, to: number];

/** What proves that leaf `index` is in the tree of `size`, PATH(m, D[n]) of RFC 9162 §2.1.3.1. */
export function inclusionSpans(index: number, size: number, from = 0): Span[] {
  if (size <= 1) return [];
  const left = largestPowerBelow(size);
  if (index - from < left) return [...inclusionSpans(index, left, from), [from + left, from + size]];
  return [...inclusionSpans(index, size - left, from + left), [from, from + left]];
}

/** What proves that the tree of `size` begins with the tree of `first`, PROOF(m, D[n]) of RFC 9162 §2.1.4.1. */
export function consistencySpans(first: number, size: number): Span[] {
  return first === 0 || first === size ? [] : subproof(first, 0, size, true);
}

function subproof(first: number, from: number, size: number, isWhole: boolean): Span[] {
  if (first === size) return isWhole ? [] : [[from, from + size]];
  const left = largestPowerBelow(size);
  if (first <= left) return [...subproof(first, from, left, isWhole), [from + left, from + size]];
  return [...subproof(first - left, from + left, size - left, false), [from, from + left]];
}

/** The proof that `spans` describe, of leaves that are read once. Undefined if there are too few. */
export function proofOf(leaves: Iterable<Buffer>, spans: readonly Span[]): Buffer[] | undefined {
  const edges = spans.map(() => new RightEdge());
  const end = Math.max(0, ...spans.map(([, to]) => to));
  let index = 0;
  for (const leaf of leaves) {
    if (index >= end) break;
    for (const [place, [from, to]] of spans.entries()) {
      if (from <= index && index < to) edges[place]!.append(leaf);
    }
    index++;
  }
  return index < end ? undefined : edges.map((edge) => edge.root());
}

/** RFC 9162 §2.1.3.2. */
export function isIncluded(
  index: number,
  size: number,
  leaf: Buffer,
  proof: readonly Buffer[],
  root: Buffer,
): boolean {
  if (index >= size) return false;
  let [at, last, hash] = [index, size - 1, leaf];
  for (const sibling of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && hash.equals(root);
}

/** RFC 9162 §2.1.4.2: whether the tree of `size` begins with the tree of `first`. */
export function isConsistent(
  first: { size: number; root: Buffer },
  second: { size: number; root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (first.size > second.size) return false;
  if (first.size === second.size) return proof.length === 0 && first.root.equals(second.root);
  if (first.size === 0) return proof.length === 0;
  let [at, last] = [first.size - 1, second.size - 1];
  while (at % 2 === 1) [at, last] = [half(at), half(last)];
  // The first tree is complete in itself: its root begins the proof.
  const [start, ...rest] = at === 0 ? [first.root, ...proof] : proof;
  if (start === undefined) return false;
  let [older, newer] = [start, start];
  for (const sibling of rest) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      [older, newer] = [nodeHash(sibling, older), nodeHash(sibling, newer)];
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      newer = nodeHash(newer, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && older.equals(first.root) && newer.equals(second.root);
}

function half(value: number): number {
  return Math.floor(value / 2);
}

/** The largest power of two below `size`, which is 2 or more. */
function largestPowerBelow(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}
