import { createHash } from 'node:crypto';
import { closeSync, constants, fchmodSync, openSync, readFileSync, writeSync } from 'node:fs';

/** The number of a log's entry, and the chain value up to it. */
export interface KnownHead {
  seq: number;
  /** 64 hex digits. */
  chain: string;
}

/**
 * A line beside a log, `audit.head`, with the log's last entry. It reveals that a log was removed or cut at its end,
 * which otherwise looks whole. It is written after the entry is on the disk, without a flush, so it is never ahead
 * of the log; after a power cut it may be behind, and then proves less. If both are removed, only the backend notices.
 */
export class AuditHeadFile {
  readonly #path: string;
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined if missing or damaged. */
  read(): KnownHead | undefined {
    return readAuditHead(this.#path);
  }

  /** Never throws: the entry is valid without it. */
  write(head: KnownHead): void {
    try {
      this.#descriptor ??= openPrivate(this.#path);
      writeSync(this.#descriptor, encodeHead(head), 0);
    } catch {
      // The previous line is still true.
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

/** Fixed length, so that a new line overwrites the previous one whole. */
function encodeHead({ seq, chain }: KnownHead): string {
  const words = `${String(seq).padStart(16, '0')} ${chain}`;
  return `${words} ${createHash('sha256').update(words).digest('hex').slice(0, 16)}\n`;
}
