import { readFileSync } from 'node:fs';
import { walFrameBytes, walHeaderBytes } from './page-budget.ts';
import { pageBytes } from './database-schema.ts';

/** Counts what the medium is made to write, which is more than what we hand over: it writes whole pages. */
export class WriteMeter {
  #frames = 0;
  #bytes = 0;

  /** Since this meter was made. */
  get bytesWritten(): number {
    return this.#bytes;
  }

  /** A commit left the WAL with this many frames. They don't begin at a page's edge, nor end at one. */
  committed(frames: number): void {
    const first = frames >= this.#frames ? this.#frames : 0; // else the WAL was begun again
    this.#frames = frames;
    if (frames === first) return;
    const from = Math.floor(offsetOf(first) / pageBytes);
    const to = Math.ceil(offsetOf(frames) / pageBytes);
    this.#bytes += (to - from) * pageBytes;
  }

  /** `write` writes whole pages, and the kernel knows how many: 0 on one that does not account for it. */
  wholePages(write: () => void): void {
    const before = threadWriteBytes();
    write();
    this.#bytes += threadWriteBytes() - before;
  }
}

function offsetOf(frame: number): number {
  return walHeaderBytes + frame * walFrameBytes;
}

/** Bytes of page cache that this thread made dirty on a disk. */
function threadWriteBytes(): number {
  try {
    const io = readFileSync('/proc/thread-self/io', 'utf8');
    return Number(/^write_bytes: (\d+)$/m.exec(io)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
