import { readFileSync } from 'node:fs';

/**
 * Bytes that this thread had the kernel write to a disk. The spool's commits are synchronous, so in a
 * silo's thread it is nearly all theirs, and it is what the card really sees: WAL, checkpoints and all.
 */
export class WriteMeter {
  readonly #start = threadWriteBytes();

  /** Since this meter was made; 0 on a kernel that does not account for it. */
  bytesWritten(): number {
    return threadWriteBytes() - this.#start;
  }
}

function threadWriteBytes(): number {
  try {
    const io = readFileSync('/proc/thread-self/io', 'utf8');
    return Number(/^write_bytes: (\d+)$/m.exec(io)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
