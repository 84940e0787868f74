import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { keepPrivate } from '../../base/private-file.ts';

/** How far a spool had come at its last report. */
export interface Mark {
  epoch: string;
  seq: number;
  nextEntry: number;
  /** Whether the spool was destroyed on purpose (shredding.ts). */
  isShredded?: boolean;
}

/**
 * A line beside the database that records how far the spool had come. SQLite ends a WAL at the first frame
 * whose checksum is wrong, and opens as if no frame had followed; a database can be deleted. The high-water
 * mark shows what is missing then. It is written after a commit is on the medium, and not flushed, so it is
 * never ahead of the database; after a power cut it may be behind, and then it proves less.
 */
export class HighWaterMark {
  readonly #descriptor: number;

  constructor(file: string) {
    keepPrivate(file);
    this.#descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  /** Never throws: the commit is durable without it. */
  write(mark: Mark): void {
    try {
      writeSync(this.#descriptor, encodeMark(mark), 0);
    } catch {
      // The mark before this one is still true.
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** Undefined if missing or incomplete. */
export function readMark(file: string): Mark | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const [epoch = '', seq, nextEntry, fate] = text.split(' ');
  const isShredded = fate === fates.shredded;
  const mark = { epoch, seq: Number(seq), nextEntry: Number(nextEntry), isShredded };
  return encodeMark(mark) === text ? mark : undefined;
}

/** All of one length, so a shorter one leaves no rest of the one before it. */
const fates = { shredded: 'shredded', lives: 'lives---' };

export function encodeMark({ epoch, seq, nextEntry, isShredded }: Mark): string {
  const numbers = [seq, nextEntry].map((number) => String(number).padStart(16, '0'));
  const words = [epoch, ...numbers, isShredded ? fates.shredded : fates.lives].join(' ');
  return `${words} ${createHash('sha256').update(words).digest('hex').slice(0, 16)}\n`;
}
