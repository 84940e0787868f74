import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { syncPath } from '../../base/sync-path.ts';
import { monthsIn, rawLines, repairEnd } from '../evidence-file.ts';
import type { Origin } from '../../messages/topic.ts';
import { appendRecord, type HeadSigner } from './head-signer.ts';
import { isEdge, leafHash, RightEdge } from './merkle-tree.ts';

/** How far a tree was when its last head was signed; the lines after it are taken up again after a crash. */
interface Mark {
  size: number;
  roots: Buffer[];
  month: string;
  bytes: number;
}

const noMark: Mark = { size: 0, roots: [], month: '', bytes: 0 };

/** The names of a gateway's heads, and of the mark, in its folder. */
export const headsName = 'heads';
const markName = 'tree.json';

/**
 * The tree over all lines of one gateway, in the order of its files. In memory is its right edge alone; in the
 * gateway's folder lie its signed heads and a mark from which it is taken up.
 */
export class GatewayTree {
  readonly #folder: string;
  readonly #origin: Origin;
  readonly #signer: HeadSigner;
  readonly edge: RightEdge;
  #signedSize: number;
  #signedAt = -Infinity;
  /** Lines that a head was signed for and that are gone; 0 where all are there. */
  readonly missingBytes: number;

  /** Reads what was written since the last head. */
  constructor(folder: string, origin: Origin, signer: HeadSigner) {
    this.#folder = folder;
    this.#origin = origin;
    this.#signer = signer;
    const mark = readMark(join(folder, markName)) ?? noMark;
    this.edge = new RightEdge(mark.size, mark.roots);
    this.#signedSize = mark.size;
    this.missingBytes = Math.max(0, mark.bytes - (mark.month === '' ? 0 : sizeOf(join(folder, mark.month))));
    for (const month of monthsIn(folder)) {
      if (month < mark.month) continue;
      const path = join(folder, month);
      repairEnd(path);
      for (const { leaf } of rawLines(path, month === mark.month ? mark.bytes : 0)) this.edge.append(leaf);
    }
  }

  append(line: string): void {
    this.edge.append(leafHash(line));
  }

  /** Whether it has grown and its last head is old enough; `at` is monotonic, ms. */
  isDue(at: number): boolean {
    return this.edge.size > this.#signedSize && at - this.#signedAt >= this.#signer.everyMs;
  }

  /** Signs a head where it has grown; `month` is the file that is added to. Throws Io. */
  sign(month: string, at: number): void {
    this.#signedAt = at;
    if (this.edge.size === this.#signedSize) return;
    const path = join(this.#folder, month);
    // What is signed must outlast a power cut.
    syncPath(path);
    appendRecord(join(this.#folder, headsName), `${this.#signer.sign(this.#origin, this.edge)}\n`);
    this.#signedSize = this.edge.size;
    this.#writeMark({ month, bytes: sizeOf(path) });
  }

  #writeMark(place: Pick<Mark, 'month' | 'bytes'>): void {
    const { size, roots } = this.edge;
    const path = join(this.#folder, markName);
    const mark = { size, roots: roots.map((root) => root.toString('base64')), ...place };
    writeFileSync(`${path}.new`, JSON.stringify(mark), { mode: 0o640 });
    renameSync(`${path}.new`, path);
  }
}

/** Undefined if there is none that can be read: then all lines are read again. */
function readMark(path: string): Mark | undefined {
  try {
    const { size, roots, month, bytes } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    if (!Number.isSafeInteger(size) || !Number.isSafeInteger(bytes) || typeof month !== 'string')
      return undefined;
    const hashes = (roots as string[]).map((root) => Buffer.from(root, 'base64'));
    if (!isEdge(size as number, hashes)) return undefined;
    return { size: size as number, roots: hashes, month, bytes: bytes as number };
  } catch {
    return undefined;
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
