import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { keepPrivate } from '../../base/private-file.ts';

/** How far a spool had come when it last said so. */
export interface Mark {
  epoch: string;
  seq: number;
  nextEntry: number;
  /** Whether somebody destroyed it on purpose (shredding.ts). */
  isShredded?: boolean;
}

/**
 * A line beside the database that says how far it had come. SQLite ends a WAL at the first frame that
 * does not check, and opens as if nothing had ever been behind it; a database can be deleted. The witness
 * tells: what it has seen is missing. It is written after a commit is on the medium, and not flushed, so
 * that it is never ahead of the truth; after a power cut it may be behind, and then proves less.
 */
export class HighWaterMark {
  readonly #descriptor: number;

  constructor(file: string) {
    keepPrivate(file);
    this.#descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  /** Never throws: the commit that it speaks of stands without it. */
  write(mark: Mark): void {
    try {
      writeSync(this.#descriptor, encodeMark(mark), 0);
    } catch {
      // The testimony before is still true.
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** Undefined where there is none, or it is not whole. */
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

/** Of one length, so that none leaves a rest of the one before it. */
const fates = { shredded: 'shredded', lives: 'lives---' };

export function encodeMark({ epoch, seq, nextEntry, isShredded }: Mark): string {
  const numbers = [seq, nextEntry].map((number) => String(number).padStart(16, '0'));
  const words = [epoch, ...numbers, isShredded ? fates.shredded : fates.lives].join(' ');
  return `${words} ${createHash('sha256').update(words).digest('hex').slice(0, 16)}\n`;
}
