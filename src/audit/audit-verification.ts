import { systemClock } from '../base/clock.ts';
import { describeError } from '../base/error.ts';
import type { Certificate } from '../identity/certificate.ts';
import { readClaim } from '../identity/certificate-profile.ts';
import { readSignature } from '../identity/signature-value.ts';
import { TenantIdentity } from '../identity/tenant-identity.ts';
import { chainNext, chainStart } from '../messages/hash-chain.ts';
import type { Origin } from '../messages/topic.ts';
import { decodeEntry } from './audit-entry.ts';
import type { AuditEntry, AuditHead, AuditKind } from './audit-entry.ts';
import { auditHeadPath, readAuditHead, type KnownHead } from './audit-head.ts';
import { listSegments, readLines, sha256Hex } from './audit-segment.ts';
import type { Segment } from './audit-segment.ts';

/** Names, in a fault, the owner of a log that began before its silo had an identity. */
const unnamed = 'a silo without an identity';

interface AuditFinding {
  /** `note`: a power cut explains it. */
  severity: 'fault' | 'note';
  file: string;
  /** From 1; 0 for the file as a whole. */
  line: number;
  message: string;
}

export interface AuditVerificationResult {
  good: boolean;
  tenant: string | null;
  gateway: string | null;
  segments: number;
  entries: number;
  /** Numbers of the first and the last entry; null in an empty log. */
  seqFrom: number | null;
  seqTo: number | null;
  signatures: number;
  /** The last entry under a good signature, and how many entries after it are unsigned. */
  signedSeq: number | null;
  unsigned: number;
  findings: AuditFinding[];
}

interface VerificationOptions {
  /** True if a log must exist: a missing log is then a fault. */
  mustBe?: boolean;
  /** ms since 1970 UTC. */
  nowMs?: number;
}

/**
 * Reads a whole log and reports each fault with its place. With `anchors`, each signature must be by a certificate
 * that chained to them when the signature was made, or does now; without `anchors`, only by the certificate that the
 * signature carries. Throws Io if the log cannot be read.
 */
export async function verifyAudit(
  directory: string,
  anchors?: readonly Certificate[],
  { mustBe = false, nowMs = systemClock.wallMs() }: VerificationOptions = {},
): Promise<AuditVerificationResult> {
  // Reads the head before the log: a running daemon appends meanwhile.
  const inquiry = new Inquiry(anchors, nowMs, readAuditHead(auditHeadPath(directory)));
  const segments = listSegments(directory);
  for (const [index, segment] of segments.entries()) {
    await inquiry.read(segment, segments[index - 1], index === segments.length - 1);
  }
  return inquiry.verdict(segments, { directory, mustBe });
}

interface Place {
  file: string;
  line: number;
}

class Inquiry {
  readonly #anchors: readonly Certificate[] | undefined;
  readonly #nowMs: number;
  /** The last entry according to `audit.head`. */
  readonly #known: KnownHead | undefined;
  readonly #findings: AuditFinding[] = [];
  /** The chain so far; undefined before the first entry and after missing segments. */
  #head: AuditHead | undefined;
  /** After a damaged line, the next entry need not continue the chain. */
  #broken = false;
  #origin: Origin | null | undefined;
  #oldest = 1;
  #entries = 0;
  #seqFrom: number | null = null;
  #signatures = 0;
  #signedSeq: number | null = null;
  /** Entries that no signature covers yet, by seq. */
  readonly #unsigned = new Map<number, { chain: string; kind: AuditKind }>();

  constructor(anchors: readonly Certificate[] | undefined, nowMs: number, known: KnownHead | undefined) {
    this.#anchors = anchors;
    this.#nowMs = nowMs;
    this.#known = known;
  }

  async read(segment: Segment, previous: Segment | undefined, isLast: boolean): Promise<void> {
    const { path: file, number } = segment;
    if (previous !== undefined && number !== previous.number + 1) {
      this.#fault({ file, line: 0 }, `segments ${previous.number + 1} to ${number - 1} are missing`);
      this.#head = undefined;
    }
    const { lines, rest } = readLines(file);
    const entries = lines.map(decodeEntry);
    if (entries[0]?.entry.kind !== 'segment') {
      this.#fault({ file, line: 1 }, 'the segment does not begin with its own first line');
    }
    for (const [index, line] of lines.entries()) {
      const place = { file, line: index + 1 };
      const found = entries[index];
      if (isTornLine(line, entries[index + 1]?.entry)) {
        this.#note(place, 'cut short by a power cut, as the next entry says');
      } else if (found === undefined) {
        this.#fault(place, 'is no entry: it was damaged or inserted');
        this.#broken = true;
      } else {
        if (found.entry.kind === 'segment') this.#header(found.entry, number, place);
        this.#step(found.entry, found.body, place);
        if (found.entry.kind === 'signature') await this.#signature(found.entry, place);
      }
    }
    if (rest.length === 0) return;
    const place = { file, line: lines.length + 1 };
    if (isLast) this.#note(place, `${rest.length} bytes of a line cut short: the next start will say so`);
    else this.#fault(place, `${rest.length} bytes of a line cut short, and nothing explains it`);
  }

  verdict(
    segments: readonly Segment[],
    { directory, mustBe }: VerificationOptions & { directory: string },
  ): AuditVerificationResult {
    const seqTo = this.#head?.seq ?? 0;
    if (this.#known === undefined && segments.length === 0 && mustBe) {
      this.#fault({ file: directory, line: 0 }, 'there is no log, and one belongs here: it was removed');
    }
    if (this.#known !== undefined && this.#known.seq > seqTo) {
      const found = seqTo === 0 ? 'no entry is here' : `the last one here is ${seqTo}`;
      this.#fault(
        { file: auditHeadPath(directory), line: 1 },
        `the log was removed or cut: entry ${this.#known.seq} was written, and ${found}`,
      );
    }
    const [first] = segments;
    if (first !== undefined && first.number > this.#oldest) {
      this.#fault(
        { file: first.path, line: 0 },
        `segments ${this.#oldest} to ${first.number - 1} are missing`,
      );
    }
    const unsigned = [...this.#unsigned.values()].filter(({ kind }) => kind !== 'signature');
    return {
      good: this.#findings.every(({ severity }) => severity !== 'fault'),
      tenant: this.#origin?.tenant ?? null,
      gateway: this.#origin?.gateway ?? null,
      segments: segments.length,
      entries: this.#entries,
      seqFrom: this.#seqFrom,
      seqTo: this.#head?.seq ?? null,
      signatures: this.#signatures,
      signedSeq: this.#signedSeq,
      unsigned: unsigned.length,
      findings: this.#findings,
    };
  }

  #header(entry: AuditEntry, number: number, place: Place): void {
    const { segment, oldest, tenant, gateway, chainBefore } = entry as AuditEntry & Record<string, string>;
    if (place.line !== 1 || Number(segment) !== number) {
      this.#fault(place, `the first line of segment ${segment} is in the wrong place`);
      return;
    }
    this.#oldest = Number(oldest);
    const origin = tenant && gateway ? { tenant, gateway } : null;
    const [own, before] = [origin, this.#origin ?? origin].map((each) => (each ? nameOf(each) : unnamed));
    if (own !== before) this.#fault(place, `the segment is of ${own}, but the one before is of ${before}`);
    this.#origin ??= origin;
    const chain = Buffer.from(chainBefore ?? '', 'hex');
    this.#head ??= { seq: entry.seq - 1, chain };
    if (!this.#broken && !this.#head.chain.equals(chain)) {
      this.#fault(place, 'the segment does not follow from the one before it');
    }
    if (number !== 1) return;
    if (entry.seq > 1) this.#fault(place, `entries 1 to ${entry.seq - 1} are missing: the log was removed`);
    else if (!chain.equals(chainStart)) this.#fault(place, 'the first segment does not begin the chain');
  }

  #step(entry: AuditEntry, body: Buffer, place: Place): void {
    const expected = (this.#head?.seq ?? 0) + 1;
    if (this.#head !== undefined && entry.seq < expected) {
      return this.#fault(place, `expected entry ${expected}, found ${entry.seq}: it was inserted or moved`);
    }
    if (this.#head !== undefined && entry.seq > expected && !this.#broken) {
      const missing =
        entry.seq - 1 > expected ? `entries ${expected} to ${entry.seq - 1} are` : `entry ${expected} is`;
      this.#fault(place, `${missing} missing before this one`);
    } else if (this.#head !== undefined && entry.seq === expected) {
      const chain = chainNext(this.#head.chain, body).toString('hex');
      if (chain !== entry.chain && !this.#broken) {
        this.#fault(
          place,
          `entry ${entry.seq} was changed, or the one before it: its chain value does not match`,
        );
      }
    }
    if (entry.seq === this.#known?.seq && entry.chain !== this.#known.chain) {
      this.#fault(place, `entry ${entry.seq} is not the one that was written: the log was replaced`);
    }
    this.#broken = false;
    this.#head = { seq: entry.seq, chain: Buffer.from(entry.chain, 'hex') };
    this.#entries += 1;
    this.#seqFrom ??= entry.seq;
    this.#unsigned.set(entry.seq, { chain: entry.chain, kind: entry.kind });
  }

  async #signature(entry: AuditEntry, place: Place): Promise<void> {
    try {
      const { claims, certificates } = await readSignature(String(entry['jws']), place.file);
      const { tenant, gateway, seq, chain, at } = claims as Record<string, string | number>;
      const signed = this.#unsigned.get(Number(seq));
      if (signed === undefined) {
        return this.#fault(
          place,
          `the signature is over entry ${Number(seq)}, which does not precede it or is already signed`,
        );
      }
      if (signed.chain !== chain) {
        return this.#fault(place, `entries up to ${Number(seq)} were rewritten after they were signed`);
      }
      const signer = this.#signer(certificates, Number(at));
      const owner = this.#origin ? nameOf(this.#origin) : unnamed;
      if (signer !== owner || signer !== nameOf({ tenant, gateway } as Origin)) {
        return this.#fault(place, `the signature is by ${signer}, but the log is of ${owner}`);
      }
      this.#signatures += 1;
      this.#signedSeq = Number(seq);
      for (const each of this.#unsigned.keys()) if (each <= this.#signedSeq) this.#unsigned.delete(each);
    } catch (error) {
      this.#fault(place, `the signature does not hold: ${describeError(error)}`);
    }
  }

  #signer([leaf, ...intermediates]: readonly [Certificate, ...Certificate[]], signedAt: number): string {
    const anchors = this.#anchors;
    const { tenantId, gatewayId } =
      anchors === undefined
        ? readClaim(leaf)
        : TenantIdentity.verifySigner({ leaf, intermediates, anchors }, signedAt, this.#nowMs);
    return nameOf({ tenant: tenantId, gateway: gatewayId });
  }

  #fault({ file, line }: Place, message: string): void {
    this.#findings.push({ severity: 'fault', file, line, message });
  }

  #note({ file, line }: Place, message: string): void {
    this.#findings.push({ severity: 'note', file, line, message });
  }
}

function nameOf({ tenant, gateway }: Origin): string {
  return `${tenant}/${gateway}`;
}

/** Whether the next entry says that a power cut truncated this line. */
function isTornLine(line: Buffer, next: AuditEntry | undefined): boolean {
  return next?.kind === 'repair' && next['bytes'] === line.length && next['sha256'] === sha256Hex(line);
}
