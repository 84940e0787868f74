import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, ftruncateSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { Channel, Origin } from '../messages/topic.ts';
import { EvidenceBudget } from './evidence-budget.ts';

/*
 * What a backend keeps to answer for later, per gateway and month, and only ever adds to:
 *   <folder>/<tenant>/<gateway>/2026-11.ndjson
 * Each line carries the SHA-256 of the line before it (64 zeros in a month's first), so that a line that
 * was changed, taken out or put in shows. Signed messages are kept as they came, to be verified anew by
 * whoever asks; of a refused one is kept what fits, as the attempt that it was. A gateway has so much room a day;
 * what it had no room for is counted in a line of its own.
 */

export type StatementOutcome =
  | 'signed'
  /** Signed, at a time at which its certificate was not valid: the gateway's clock was wrong. */
  | 'signed, clock wrong'
  | 'unsigned'
  | `refused: ${string}`;

/** What is kept of one message, or what the consumer found. */
export type EvidenceEntry =
  | {
      channel: Channel;
      message: string;
      outcome: StatementOutcome;
      /** Where `message` is only its beginning: its length, and the SHA-256 of all of it. */
      bytes?: number;
      sha256?: string;
    }
  | { finding: Readonly<Record<string, unknown>> };

export type EvidenceLine = EvidenceEntry & {
  /** When the backend had it, ms since 1970 UTC. */
  at: number;
  prev: string;
};

export const firstPrev = '0'.repeat(64);

/** Of a refused message: a checkpoint with a chain of RSA certificates is some 8 kB. */
const refusedTextMax = 16 * 1024;
/** As a line: control characters are six bytes each in JSON. */
const refusedLineMax = 32 * 1024;

/** Gateways of which the last line and the day's room are remembered; those of another are read again. */
const gatewaysMax = 10_000;

interface OpenFile {
  path: string;
  /** SHA-256 of its last line. */
  last: string;
  budget: EvidenceBudget;
}

export class EvidenceLog {
  readonly #folder: string;
  readonly #clock: Clock;
  /** By `tenant/gateway`. */
  readonly #files = new Map<string, OpenFile>();

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Throws Io where it cannot be written. */
  append(origin: Origin, entry: EvidenceEntry): void {
    const at = this.#clock.wallMs();
    const folder = join(this.#folder, origin.tenant, origin.gateway);
    const path = join(folder, `${new Date(at).toISOString().slice(0, 7)}.ndjson`);
    try {
      const file = this.#open(origin, folder, path);
      const withheld = file.budget.roll(at);
      if (withheld !== undefined) write(file, at, withheld);
      const kept = shorten(entry);
      const bytes = Buffer.byteLength(JSON.stringify(kept));
      const { admitted, notice } = file.budget.admit(kept, bytes, at);
      if (notice !== undefined) write(file, at, notice);
      if (admitted) write(file, at, kept);
    } catch (cause) {
      throw new MerestoneError('Io', `evidence cannot be written: ${(cause as Error).message}`, {
        subject: path,
        hint: 'make room or mend the permissions; what was not kept is not acknowledged, and comes again',
        cause,
      });
    }
  }

  /** Writes what there was no room for, in numbers. */
  end(): void {
    for (const file of this.#files.values()) {
      const withheld = file.budget.drain();
      if (withheld !== undefined) write(file, this.#clock.wallMs(), withheld);
    }
  }

  #open({ tenant, gateway }: Origin, folder: string, path: string): OpenFile {
    const name = `${tenant}/${gateway}`;
    const known = this.#files.get(name);
    if (known?.path === path) return known;
    mkdirSync(folder, { recursive: true, mode: 0o750 });
    const { last, bytes } = lastLine(path);
    const budget = known?.budget ?? new EvidenceBudget();
    budget.beginFile(bytes);
    const file = { path, last, budget };
    if (known === undefined && this.#files.size >= gatewaysMax) this.#releaseOldest();
    this.#files.set(name, file);
    return file;
  }

  #releaseOldest(): void {
    const [name, file] = this.#files.entries().next().value!;
    const withheld = file.budget.drain();
    if (withheld !== undefined) write(file, this.#clock.wallMs(), withheld);
    this.#files.delete(name);
  }
}

function write(file: OpenFile, at: number, entry: EvidenceEntry): void {
  const line = JSON.stringify({ at, prev: file.last, ...entry });
  appendFileSync(file.path, `${line}\n`, { mode: 0o640 });
  file.last = createHash('sha256').update(line).digest('hex');
}

/** A refused message may be anything: only so much of it is kept. */
function shorten(entry: EvidenceEntry): EvidenceEntry {
  if ('finding' in entry || !entry.outcome.startsWith('refused')) return entry;
  const { message } = entry;
  if (message.length <= refusedTextMax && JSON.stringify(message).length <= refusedLineMax) return entry;
  const sha256 = createHash('sha256').update(message).digest('hex');
  return {
    ...entry,
    message: message.slice(0, refusedLineMax / 8),
    bytes: Buffer.byteLength(message),
    sha256,
  };
}

/**
 * SHA-256 of a file's last line, and its length, in a constant amount of memory. A line without its end was cut
 * short by a crash: its message was never acknowledged, and comes again; it is cut off.
 */
function lastLine(path: string): { last: string; bytes: number } {
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

const chunkBytes = 64 * 1024;

/** Where the last line feed before `end` ends, 0 where there is none. */
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
