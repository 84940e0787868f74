import { createHash } from 'node:crypto';
import { closeSync, constants, fchmodSync, openSync, readFileSync, writeSync } from 'node:fs';

/** An entry of a log and the chain up to it. */
export interface KnownHead {
  seq: number;
  /** 64 hex digits. */
  chain: string;
}

/**
 * A line beside a log, `audit.head`, that says how far it had come. A log that was removed or cut at its end
 * looks whole; this tells. It is written after the entry is on the disk, and not flushed, so that it is never ahead
 * of the log; after a power cut it may be behind, and then proves less. Who removes both is found by the backend.
 */
export class AuditHeadFile {
  readonly #path: string;
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined where there is none, or it is not whole. */
  read(): KnownHead | undefined {
    return readAuditHead(this.#path);
  }

  /** Never throws: the entry that it speaks of stands without it. */
  write(head: KnownHead): void {
    try {
      this.#descriptor ??= openPrivate(this.#path);
      writeSync(this.#descriptor, encodeHead(head), 0);
    } catch {
      // The line before is still true.
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** Where the head of the log in `directory` is kept. */
export function auditHeadPath(directory: string): string {
  return `${directory}.head`;
}

export function readAuditHead(path: string): KnownHead | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    const [seq, chain = ''] = text.split(' ');
    const head = { seq: Number(seq), chain };
    return encodeHead(head) === text ? head : undefined;
  } catch {
    return undefined;
  }
}

function openPrivate(path: string): number {
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  fchmodSync(descriptor, 0o600);
  return descriptor;
}

/** Of one length, so that none leaves a rest of the one before it. */
function encodeHead({ seq, chain }: KnownHead): string {
  const words = `${String(seq).padStart(16, '0')} ${chain}`;
  return `${words} ${createHash('sha256').update(words).digest('hex').slice(0, 16)}\n`;
}
