import { createHash } from 'node:crypto';
import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readSync } from 'node:fs';
import { beginLeaf } from './tree/merkle-tree.ts';

/** In a month's first line, in place of the hash of a line before. */
export const firstPrev = '0'.repeat(64);

/** A line is an event with its proof at most, in JSON in JSON; only an earlier version wrote longer ones. */
const lineBytesMax = 4 * 1024 * 1024;
const chunkBytes = 256 * 1024;

export interface RawLine {
  /** Without its end; undefined if it is too long to be kept in memory. */
  text: string | undefined;
  bytes: number;
  sha256: string;
  /** What stands for it in the gateway's tree. */
  leaf: Buffer;
}

/** The names of a gateway's files, in the order in which they were written. Throws what readdir throws. */
export function monthsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => /^\d{4}-\d{2}\.ndjson$/.test(name))
    .sort();
}

/** The lines of a file from byte `from` on, one at a time in a constant amount of memory. */
export function* rawLines(path: string, from = 0): Generator<RawLine> {
  const file = openSync(path, 'r');
  try {
    const chunk = Buffer.alloc(chunkBytes);
    let line = new LineParts();
    let position = from;
    for (let read = readAt(file, chunk, position); read > 0; read = readAt(file, chunk, position)) {
      position += read;
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0 && end < read; end = chunk.indexOf(0x0a, start)) {
        line.add(chunk.subarray(start, end));
        yield line.end();
        line = new LineParts();
        start = end + 1;
      }
      line.add(chunk.subarray(start, read));
    }
    if (line.bytes > 0) yield line.end();
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, chunk: Buffer, position: number): number {
  return readSync(file, chunk, 0, chunk.length, position);
}

class LineParts {
  bytes = 0;
  #parts: Buffer[] = [];
  readonly #hash = createHash('sha256');
  readonly #leaf = beginLeaf();

  add(part: Buffer): void {
    this.#hash.update(part);
    this.#leaf.update(part);
    this.bytes += part.length;
    if (this.bytes <= lineBytesMax) this.#parts.push(Buffer.from(part));
    else this.#parts = [];
  }

  end(): RawLine {
    const { bytes } = this;
    return {
      text: bytes <= lineBytesMax ? Buffer.concat(this.#parts).toString() : undefined,
      bytes,
      sha256: this.#hash.digest('hex'),
      leaf: this.#leaf.digest(),
    };
  }
}

/**
 * SHA-256 of a file's last line, and the file's length, in a constant amount of memory. A line without its end was cut
 * short by a crash: its message was never acknowledged, and comes again; it is cut off.
 */
export function repairEnd(path: string): { last: string; bytes: number } {
  let file: number;
  try {
    file = openSync(path, 'r+');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { last: firstPrev, bytes: 0 };
    throw cause;
  }
  try {
    const { size } = fstatSync(file);
    const end = lineEndBefore(file, size);
    if (end < size) ftruncateSync(file, end);
    if (end === 0) return { last: firstPrev, bytes: 0 };
    return { last: hashOf(file, lineEndBefore(file, end - 1), end - 1), bytes: end };
  } finally {
    closeSync(file);
  }
}

/** Where the last line feed before `end` ends, 0 if there is none. */
function lineEndBefore(file: number, end: number): number {
  const chunk = Buffer.alloc(chunkBytes);
  for (let to = end; to > 0; ) {
    const from = Math.max(0, to - chunkBytes);
    const read = readSync(file, chunk, 0, to - from, from);
    const index = chunk.subarray(0, read).lastIndexOf(0x0a);
    if (index >= 0) return from + index + 1;
    to = from;
  }
  return 0;
}

function hashOf(file: number, from: number, to: number): string {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(chunkBytes);
  for (let at = from; at < to; ) {
    const read = readSync(file, chunk, 0, Math.min(chunkBytes, to - at), at);
    if (read === 0) break;
    hash.update(chunk.subarray(0, read));
    at += read;
  }
  return hash.digest('hex');
}
