import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { Channel, Origin } from '../messages/topic.ts';
import { EvidenceBudget } from './evidence-budget.ts';
import { monthsIn, repairEnd } from './evidence-file.ts';
import { GatewayTree } from './tree/gateway-tree.ts';
import { appendRecord, type HeadSigner } from './tree/head-signer.ts';

/*
 * What a backend keeps to answer for later, per gateway and month, and only ever adds to:
 *   <folder>/<tenant>/<gateway>/2026-11.ndjson
 * Each line carries the SHA-256 of the line before it (64 zeros in a month's first), so that a line that
 * was changed, taken out or put in shows. Signed messages are kept as they came, so that any
 * reader can verify them again; of a refused one, what fits is kept as proof. The room of a gateway is limited by day;
 * what it had no room for is counted in a line of its own. All lines of a gateway are a Merkle tree, whose
 * signed heads lie beside them and elsewhere: see tree/.
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
  | { finding: Readonly<Record<string, unknown>> }
  | { batch: BatchDigest };

/** A batch whose rows were written. */
export interface BatchDigest {
  /** Of a second chain with the `~1` of its rows. */
  epoch: string;
  seq: number;
  /** Of the batch as it came, unpacked; base64url. */
  sha256: string;
  rows: number;
  /** Of its rows, see row-digest.ts; base64url. */
  rowsSha256: string;
}

export type EvidenceLine = EvidenceEntry & {
  /** When the backend had it, ms since 1970 UTC. */
  at: number;
  prev: string;
};

/** Of a refused message: a checkpoint with a chain of RSA certificates is some 8 kB. */
const refusedTextMax = 16 * 1024;
/** As a line: control characters are six bytes each in JSON. */
const refusedLineMax = 32 * 1024;

/** Gateways of which the last line and the day's room are remembered; those of another are read again. */
const gatewaysMax = 10_000;

/** Heads that are signed in one tick: each waits for the disk. */
const headsPerTickMax = 50;

/** The vkeys that signed, in the folder itself: enough for a reader who trusts the folder. */
export const publicKeysName = 'log.pub';

/** The kind of the line with which a month goes on from another. */
export const monthKind = 'month';

interface OpenFile {
  origin: Origin;
  /** Its name, and where it is. */
  month: string;
  path: string;
  /** SHA-256 of its last line. */
  last: string;
  budget: EvidenceBudget;
  tree: GatewayTree | undefined;
}

export class EvidenceLog {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #signer: HeadSigner | undefined;
  /** By `tenant/gateway`. */
  readonly #files = new Map<string, OpenFile>();

  /** Without `signer` no heads are signed. Throws Io. */
  constructor(folder: string, clock: Clock, signer?: HeadSigner) {
    this.#folder = folder;
    this.#clock = clock;
    this.#signer = signer;
    if (signer !== undefined) notePublicKey(folder, signer.publicKey);
  }

  /** Throws Io where it cannot be written. */
  append(origin: Origin, entry: EvidenceEntry): void {
    const at = this.#clock.wallMs();
    const folder = join(this.#folder, origin.tenant, origin.gateway);
    try {
      const file = this.#open(origin, folder, `${new Date(at).toISOString().slice(0, 7)}.ndjson`);
      const withheld = file.budget.roll(at);
      if (withheld !== undefined) write(file, at, withheld);
      const kept = shorten(entry);
      const bytes = Buffer.byteLength(JSON.stringify(kept));
      const { admitted, notice } = file.budget.admit(kept, bytes, at);
      if (notice !== undefined) write(file, at, notice);
      if (admitted) write(file, at, kept);
    } catch (cause) {
      throw new MerestoneError('Io', `evidence cannot be written: ${(cause as Error).message}`, {
        subject: folder,
        hint: 'make room or mend the permissions; what was not kept is not acknowledged, and comes again',
        cause,
      });
    }
  }

  /** To be called every second or so: signs the heads that are due. Throws Io. */
  tick(): void {
    const at = this.#clock.monotonicMs();
    let signed = 0;
    for (const [name, file] of this.#files) {
      if (file.tree?.isDue(at) !== true) continue;
      file.tree.sign(file.month, at);
      // Behind all others, so that as many as grow all the time keep none of them from its turn.
      this.#files.delete(name);
      this.#files.set(name, file);
      if (++signed >= headsPerTickMax) return;
    }
  }

  /** Writes what there was no room for, in numbers, and signs all of it. */
  end(): void {
    for (const file of this.#files.values()) this.#finish(file);
  }

  #finish(file: OpenFile): void {
    const withheld = file.budget.drain();
    if (withheld !== undefined) write(file, this.#clock.wallMs(), withheld);
    file.tree?.sign(file.month, this.#clock.monotonicMs());
  }

  #open(origin: Origin, folder: string, month: string): OpenFile {
    const name = `${origin.tenant}/${origin.gateway}`;
    const known = this.#files.get(name);
    // Lines are in the order of the files, also where the clock was set back.
    if (known !== undefined && known.month >= month) return known;
    known?.tree?.sign(known.month, this.#clock.monotonicMs());
    mkdirSync(folder, { recursive: true, mode: 0o750 });
    const newest = monthsIn(folder).at(-1) ?? month;
    const own = newest > month ? newest : month;
    const path = join(folder, own);
    const { last, bytes } = repairEnd(path);
    const budget = known?.budget ?? new EvidenceBudget();
    budget.beginFile(bytes);
    const signer = this.#signer;
    const tree = known?.tree ?? (signer && new GatewayTree(folder, origin, signer));
    const file = { origin, month: own, path, last, budget, tree };
    if (known === undefined && this.#files.size >= gatewaysMax) this.#releaseOldest();
    this.#files.set(name, file);
    if (bytes === 0 && tree !== undefined && tree.edge.size > 0) noteMonth(file, this.#clock.wallMs());
    if (known === undefined && tree !== undefined && tree.missingBytes > 0)
      noteCut(file, this.#clock.wallMs());
    return file;
  }

  #releaseOldest(): void {
    const [name, file] = this.#files.entries().next().value!;
    this.#finish(file);
    this.#files.delete(name);
  }
}

function write(file: OpenFile, at: number, entry: EvidenceEntry): void {
  const line = JSON.stringify({ at, prev: file.last, ...entry });
  appendFileSync(file.path, `${line}\n`, { mode: 0o640 });
  file.tree?.append(line);
  file.last = createHash('sha256').update(line).digest('hex');
}

/**
 * A file begins with how far the tree was: so the files before it may be removed, and what is left can still be held
 * against the heads, which cover this line too.
 */
function noteMonth(file: OpenFile, at: number): void {
  const { size: lines, roots } = file.tree!.edge;
  const previous = monthsIn(join(file.path, '..')).findLast((name) => name < file.month);
  const finding = { severity: 'info', kind: monthKind, previous, lines, roots: roots.map(base64) };
  write(file, at, { finding });
}

function base64(hash: Buffer): string {
  return hash.toString('base64');
}

/** What a head was signed for is gone: the lines that come now do not hide it. */
function noteCut(file: OpenFile, at: number): void {
  const bytes = file.tree!.missingBytes;
  const message = `${bytes} bytes of evidence that a head was signed for are gone`;
  write(file, at, {
    finding: { severity: 'security', kind: 'evidence-cut', ...file.origin, message, bytes },
  });
}

function notePublicKey(folder: string, publicKey: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  const path = join(folder, publicKeysName);
  let known = '';
  try {
    known = readFileSync(path, 'utf8');
  } catch {
    // There was none yet; appending reports every other fault.
  }
  if (!known.split('\n').includes(publicKey)) appendRecord(path, `${publicKey}\n\n`);
}

/** A refused message may be anything: only so much of it is kept. */
function shorten(entry: EvidenceEntry): EvidenceEntry {
  if (!('channel' in entry) || !entry.outcome.startsWith('refused')) return entry;
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
