import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { makeDirectory } from '../base/make-directory.ts';
import { syncPath } from '../base/sync-path.ts';
import type { Signer } from '../identity/signer.ts';
import { chainStart } from '../messages/hash-chain.ts';
import type { Origin } from '../messages/topic.ts';
import { decodeEntry, encodeEntry } from './audit-entry.ts';
import type { AuditDetails, AuditEntry, AuditHead, AuditKind } from './audit-entry.ts';
import { AuditHeadFile, type KnownHead } from './audit-head.ts';
import type { AuditSeal } from './audit-seal.ts';
import { auditIo, listSegments, readLines, segmentPath, sha256Hex } from './audit-segment.ts';

/**
 * The audit log: what happened to a tenant's data on this box, and who did it, as lines of JSON in
 * `audit-000001.ndjson` and so on. The silo's journal and the `spool` commands write it; the `audit` commands read
 * and verify it.
 *
 * 1. An entry is on the disk when `append` returns.
 * 2. Each entry's `chain` covers it and all before it, over segments and restarts, as the batches' does.
 * 3. `sign` adds the silo's signature over the chain: entries up to there cannot be rewritten without the key. The
 *    `audit` events in the cloud reveal entries that were cut off after it.
 * 4. Names of devices and points are sealed (audit-seal.ts); the chain and the signatures cover the sealed line.
 * 5. Only the oldest segment is ever removed, and the newest segment names the oldest.
 * 6. There is one writer at a time: the process that holds the silo's spool.
 */
export class AuditLog {
  readonly #directory: string;
  readonly #origin: Origin | null;
  readonly #clock: Clock;
  readonly #limits: AuditLimits;
  readonly #headFile: AuditHeadFile | undefined;
  readonly #seal: AuditSeal | undefined;
  #head: AuditHead = { seq: 0, chain: chainStart };
  #signedSeq = 0;
  #segment = 0;
  #descriptor: number | undefined;
  #bytes = 0;
  #missing: MissingEntries | undefined;
  /** A partial line follows `#bytes`: the disk did not allow its removal. */
  #isCut = false;

  /**
   * Opens the log in `directory`, or begins it. A line that a power cut left half written stays, and the entry after
   * it says so. `origin` is null before a silo has an identity. If `headFile` knows of later entries than the log
   * has, numbers and chain go on from those: see `missing`.
   * Throws Io, AuditDamaged.
   */
  static open(directory: string, dependencies: AuditDependencies): AuditLog {
    const log = new AuditLog(directory, dependencies);
    log.#open();
    return log;
  }

  private constructor(
    directory: string,
    { origin, clock, limits = defaultLimits, headFile, seal }: AuditDependencies,
  ) {
    this.#directory = directory;
    this.#origin = origin;
    this.#clock = clock;
    this.#limits = limits;
    this.#headFile = headFile === undefined ? undefined : new AuditHeadFile(headFile);
    this.#seal = seal;
  }

  /** The last entry. */
  get head(): { seq: number; chain: string } {
    return { seq: this.#head.seq, chain: this.#head.chain.toString('hex') };
  }

  /** Entries that `headFile` knows and the log lacks: it was removed, cut or replaced. */
  get missing(): MissingEntries | undefined {
    return this.#missing;
  }

  /** Durable on return; returns the entry with its names in clear. Throws Io, and then nothing was appended. */
  append<Kind extends AuditKind>(kind: Kind, details: AuditDetails[Kind], at = this.now()): AuditEntry {
    if (this.#bytes >= this.#limits.segmentBytesMax) this.#beginSegment(this.#segment + 1);
    return this.#write(kind, details, at);
  }

  /** The time of an entry made now, ms since 1970 UTC. */
  now(): number {
    return Math.round(this.#clock.wallMs());
  }

  /** Signs the head, as of `at`; false if nothing is unsigned. */
  async sign(signer: Signer, at = this.now()): Promise<boolean> {
    const { seq, chain } = this.head;
    if (this.#origin === null || seq <= this.#signedSeq) return false;
    const { tenant, gateway } = this.#origin;
    const jws = await signer.sign({ v: 1, log: 'audit', tenant, gateway, seq, chain, at });
    // A signature is an entry too, but it needs no further signature.
    this.#signedSeq = this.append('signature', { jws }).seq;
    return true;
  }

  close(): void {
    this.#closeSegment();
    this.#headFile?.close();
  }

  #closeSegment(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #open(): void {
    try {
      makeDirectory(this.#directory);
    } catch (error) {
      throw auditIo('cannot be begun', this.#directory, error);
    }
    const last = listSegments(this.#directory).at(-1);
    if (last === undefined) {
      this.#goOnFrom(this.#headFile?.read(), []);
      return this.#beginSegment(1);
    }
    const { lines, rest } = readLines(last.path);
    this.#checkOrigin(last.path, lines[0] ?? Buffer.alloc(0));
    const entries = lines.flatMap((line) => decodeEntry(line)?.entry ?? []);
    const { seq, chain } = entries.at(-1)!;
    this.#head = { seq, chain: Buffer.from(chain, 'hex') };
    this.#signedSeq = entries.findLast(({ kind }) => kind === 'signature')?.seq ?? 0;
    this.#segment = last.number;
    this.#attach(last.path);
    this.#goOnFrom(this.#headFile?.read(), entries);
    this.#headFile?.write(this.head);
    if (rest.length > 0) this.#repair(rest);
  }

  /** Gives no number twice and continues the chain from the last value that left the box. */
  #goOnFrom(known: KnownHead | undefined, entries: readonly AuditEntry[]): void {
    if (known === undefined) return;
    const same = entries.find(({ seq }) => seq === known.seq);
    if (same !== undefined && same.chain !== known.chain) {
      throw new MerestoneError('AuditDamaged', `entry ${known.seq} is not the one that was written`, {
        subject: this.#directory,
        hint: 'see merestone audit verify, and move its folder to a safe place: a new log then begins',
      });
    }
    const { seq } = this.#head;
    if (known.seq <= seq) return;
    this.#missing = { seqFrom: seq + 1, seqTo: known.seq };
    this.#head = { seq: known.seq, chain: Buffer.from(known.chain, 'hex') };
  }

  /** The first line and its file are created in one step, so every segment has one, even after a crash. */
  #checkOrigin(path: string, line: Buffer): void {
    const header = decodeEntry(line)?.entry;
    const { tenant, gateway } = this.#origin ?? { tenant: null, gateway: null };
    if (header?.kind === 'segment' && header['tenant'] === tenant && header['gateway'] === gateway) return;
    const reason = header?.kind === 'segment' ? 'is of another tenant or gateway' : 'has lost its first line';
    throw new MerestoneError('AuditDamaged', `the audit log ${reason}`, {
      subject: path,
      hint: 'see merestone audit verify, and move its folder to a safe place: a new log then begins',
    });
  }

  #repair(rest: Buffer): void {
    this.#put('\n');
    this.#write('repair', { bytes: rest.length, sha256: sha256Hex(rest) }, this.now());
  }

  #beginSegment(number: number): void {
    const segments = listSegments(this.#directory);
    const surplus = segments.slice(0, Math.max(0, segments.length + 1 - this.#limits.segmentsMax));
    const { tenant, gateway } = this.#origin ?? { tenant: null, gateway: null };
    const { line, entry } = encodeEntry(this.#head, this.now(), 'segment', {
      segment: number,
      oldest: segments[surplus.length]?.number ?? number,
      tenant,
      gateway,
      chainBefore: this.#head.chain.toString('hex'),
    });
    const path = segmentPath(this.#directory, number);
    const temporary = `${path}.new`;
    try {
      writeFileSync(temporary, `${line}\n`, { mode: 0o600, flush: true });
      renameSync(temporary, path);
      syncPath(this.#directory);
      for (const each of surplus) rmSync(each.path);
    } catch (error) {
      throw auditIo('cannot begin a segment', path, error);
    }
    this.#closeSegment();
    this.#segment = number;
    this.#advance(entry);
    this.#attach(path);
  }

  #attach(path: string): void {
    try {
      this.#descriptor = openSync(path, 'a', 0o600);
      this.#bytes = fstatSync(this.#descriptor).size;
    } catch (error) {
      throw auditIo('cannot be opened', path, error);
    }
  }

  #write<Kind extends AuditKind>(kind: Kind, details: AuditDetails[Kind], at: number): AuditEntry {
    const { entry, line } = encodeEntry(this.#head, at, kind, details, this.#seal);
    this.#put(`${line}\n`);
    this.#advance(entry);
    return entry;
  }

  #advance({ seq, chain }: AuditEntry): void {
    this.#head = { seq, chain: Buffer.from(chain, 'hex') };
    this.#headFile?.write({ seq, chain });
  }

  /** Removes a partial line that a full disk left, or the next entry would continue it. */
  #put(text: string): void {
    const bytes = Buffer.from(text);
    if (this.#descriptor === undefined) this.#attach(segmentPath(this.#directory, this.#segment));
    const descriptor = this.#descriptor!;
    try {
      if (this.#isCut) this.#takeBack(descriptor);
      this.#isCut = true;
      const written = writeSync(descriptor, bytes);
      if (written < bytes.length) throw new Error(`${written} of ${bytes.length} bytes written`);
      fdatasyncSync(descriptor);
      this.#bytes += written;
      this.#isCut = false;
    } catch (error) {
      this.#tryToTakeBack(descriptor);
      throw auditIo('cannot be written', segmentPath(this.#directory, this.#segment), error);
    }
  }

  #takeBack(descriptor: number): void {
    ftruncateSync(descriptor, this.#bytes);
    this.#isCut = false;
  }

  #tryToTakeBack(descriptor: number): void {
    try {
      this.#takeBack(descriptor);
    } catch {
      // The disk refuses this too: the next `append` tries again before it writes.
    }
  }
}

export interface AuditLimits {
  segmentBytesMax: number;
  segmentsMax: number;
}

export interface MissingEntries {
  seqFrom: number;
  seqTo: number;
}

export interface AuditDependencies {
  origin: Origin | null;
  clock: Clock;
  limits?: AuditLimits;
  /** The file that keeps the log's head; absent: the head is not kept. */
  headFile?: string;
  /** Seals the names; without it they are left out. */
  seal?: AuditSeal;
}

/** About 5,000 entries a segment, 300,000 in all: years of a healthy gateway, weeks of a faulty one. */
const defaultLimits: AuditLimits = { segmentBytesMax: 1_000_000, segmentsMax: 64 };
