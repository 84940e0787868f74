import { rmSync } from 'node:fs';
import { allocate } from './disk.ts';

/**
 * A file of nothing, as large as the WAL. On a disk that another program filled it is let go, and what is
 * in the WAL finds room in the database: so the spool still settles and evicts.
 */
export class Reserve {
  readonly #file: string;
  readonly #bytes: number;
  #isAllocated = false;

  constructor(file: string, bytes: number) {
    this.#file = file;
    this.#bytes = bytes;
  }

  /** Takes the room, where there is twice as much. */
  take(roomToGrow: number): void {
    if (this.#isAllocated || roomToGrow < 2 * this.#bytes) return;
    allocate(this.#file, this.#bytes);
    this.#isAllocated = true;
  }

  /** False where it was let go before. */
  letGo(): boolean {
    const wasAllocated = this.#isAllocated;
    rmSync(this.#file, { force: true });
    this.#isAllocated = false;
    return wasAllocated;
  }
}
