import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { isSegment } from '../stream/segment.ts';
import type { Channel, Origin } from '../stream/topic.ts';

/*
 * What a backend keeps to answer for later, per gateway and month, and only ever adds to:
 *   <folder>/<tenant>/<gateway>/2026-11.ndjson
 * Each line carries the SHA-256 of the line before it (64 zeros in a month's first), so that a line that
 * was changed, taken out or put in shows. Signed messages are kept as they came, to be verified anew by
 * whoever asks; a refused one is kept too, as the attempt that it was.
 */

/** What is kept of one message, or what the consumer found. */
export type EvidenceEntry =
  | { channel: Channel; message: string; outcome: 'signed' | 'unsigned' | `refused: ${string}` }
  | { finding: Readonly<Record<string, unknown>> };

export type EvidenceLine = EvidenceEntry & {
  /** When the backend had it, ms since 1970 UTC. */
  at: number;
  prev: string;
};

const firstPrev = '0'.repeat(64);

/** Gateways whose last line is remembered; that of another is read again. */
const lastLinesMax = 10_000;

export class EvidenceLog {
  readonly #folder: string;
  readonly #clock: Clock;
  /** Path → SHA-256 of its last line. */
  readonly #lastLines = new Map<string, string>();

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
      const line = JSON.stringify({ at, prev: this.#lastLine(folder, path), ...entry });
      appendFileSync(path, `${line}\n`, { mode: 0o640 });
      this.#lastLines.set(path, sha256(line));
    } catch (cause) {
      throw new MerestoneError('Io', `evidence cannot be written: ${(cause as Error).message}`, {
        subject: path,
        hint: 'make room or mend the permissions; what was not kept is not acknowledged, and comes again',
        cause,
      });
    }
  }

  #lastLine(folder: string, path: string): string {
    const known = this.#lastLines.get(path);
    if (known !== undefined) return known;
    if (this.#lastLines.size >= lastLinesMax) this.#lastLines.clear();
    mkdirSync(folder, { recursive: true, mode: 0o750 });
    const text = readText(path);
    // A line without its end was cut short by a crash: its message was never acknowledged, and comes again.
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole));
    const last = whole.slice(whole.lastIndexOf('\n', whole.length - 2) + 1, -1);
    return last === '' ? firstPrev : sha256(last);
  }
}

/** One gateway's evidence. */
export interface GatewayEvidence {
  origin: Origin;
  lines: EvidenceLine[];
  /** Lines that do not follow from the one before, as `FILE:LINE`. */
  broken: string[];
}

/** All that is kept under `folder` in [from, to] (ms since 1970 UTC). Throws FileNotFound, Io. */
export function readEvidence(folder: string, from: number, to: number): GatewayEvidence[] {
  return list(folder, isSegment).flatMap((tenant) =>
    list(join(folder, tenant), isSegment).map((gateway) => {
      const own = join(folder, tenant, gateway);
      const [first, last] = [from, to].map((ms) => new Date(ms).toISOString().slice(0, 7));
      const months = list(own, (name) => /^\d{4}-\d{2}\.ndjson$/.test(name));
      const wanted = months.filter((name) => name.slice(0, 7) >= first! && name.slice(0, 7) <= last!);
      const files = wanted.map((name) => readMonth(join(own, name)));
      const lines = files.flatMap((file) => file.lines).filter(({ at }) => at >= from && at <= to);
      return { origin: { tenant, gateway }, lines, broken: files.flatMap((file) => file.broken) };
    }),
  );
}

function readMonth(path: string): { lines: EvidenceLine[]; broken: string[] } {
  const lines: EvidenceLine[] = [];
  const broken: string[] = [];
  let prev = firstPrev;
  for (const [index, text] of readText(path).trimEnd().split('\n').entries()) {
    const line = parseLine(text);
    if (line?.prev !== prev) broken.push(`${path}:${index + 1}`);
    if (line !== undefined) lines.push(line);
    prev = sha256(text);
  }
  return { lines, broken };
}

function parseLine(text: string): EvidenceLine | undefined {
  try {
    const line = JSON.parse(text) as EvidenceLine;
    const proper = Number.isFinite(line.at) && ('finding' in line || typeof line.message === 'string');
    return proper ? line : undefined;
  } catch {
    return undefined;
  }
}

function list(folder: string, isOurs: (name: string) => boolean): string[] {
  try {
    return readdirSync(folder).filter(isOurs).sort();
  } catch (cause) {
    throw new MerestoneError('FileNotFound', 'there is no evidence here', {
      subject: folder,
      hint: 'name the folder that consume was given as --evidence',
      cause,
    });
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw cause;
  }
}

function sha256(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}
