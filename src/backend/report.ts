import { createHash, type KeyObject } from 'node:crypto';
import { describeError } from '../base/error.ts';
import type { CheckpointClaims } from '../messages/checkpoint.ts';
import type { StreamEvent } from '../messages/event.ts';
import type { Origin } from '../messages/topic.ts';
import { gatewaysIn, readLines, type ReadLine } from './evidence-reader.ts';
import type { EvidenceLine } from './evidence.ts';
import { EpochTotals, type EpochReport, type EpochSum } from './report-epoch.ts';
import { namedSigner, type Signer, type VouchFor } from './signature.ts';
import { verifyCheckpoint, verifyEvent } from './statement.ts';
import { EvidenceCheck, type TreeReport } from './tree/evidence-check.ts';
import { defaultLog } from './tree/tree-head.ts';

/** What one certificate signed. */
export interface CertificateReport extends Signer {
  /** The only place that a broker which holds certificates to their own root lets it write to. */
  reach: string;
  checkpoints: number;
  events: number;
  /** When it signed for the first and the last time, ms since 1970 UTC. */
  signedFrom: number;
  signedTo: number;
}

export interface Report {
  tenant: string;
  from: number;
  to: number;
  /**
   * Evidence that is not what was kept: lines that do not follow from the one before, that are not what a head was
   * signed for or are gone, and signatures gone bad.
   */
  damaged: string[];
  /** How much is under signed heads. */
  trees?: TreeReport[];
  /** What could be missing or changed without showing. */
  cannotSee?: string[];
  certificates: CertificateReport[];
  epochs: EpochReport[];
  /** Batches of each epoch: signed, and what became of them. */
  sums?: EpochSum[];
  /** Samples that never became a batch. */
  neverStored: {
    gateway: string;
    samples: number;
    from: number | null;
    to: number | null;
    reason: string;
  }[];
  /** Entries of the gateways' audit logs. */
  audit: { gateway: string; at: number; signed: boolean; entry: Record<string, unknown> }[];
  /** Warnings and security findings, as the consumer noted them. */
  findings: Readonly<Record<string, unknown>>[];
  /** For every other tenant: how many signatures are kept, and those that name a certificate from above. */
  others: { tenant: string; signatures: number; named: NamedSignature[] }[];
  /** What was counted only, as there was more than a report has room for; empty where everything stands in it. */
  omitted: Record<string, number>;
}

interface NamedSignature {
  gateway: string;
  at: number;
  fingerprintSha256: string;
  /** What the consumer made of it. */
  outcome: string;
}

export interface ReportOptions {
  tenant: string;
  /** SHA-256, hex; undefined: all that signed for the tenant. */
  certificate: string | undefined;
  /** When the backend had it, ms since 1970 UTC, both ends included. */
  from: number;
  to: number;
  vouchFor: VouchFor;
  /** A file of heads that was kept elsewhere. */
  heads?: string | undefined;
  /** The only keys that may have signed heads. */
  keys?: readonly KeyObject[] | undefined;
  /** How the origins of its trees begin. */
  log?: string;
  /** Months before this one (2026-09) were removed on purpose. */
  removedBefore?: string | undefined;
}

/** Entries of each list of a report. */
const listMax = 10_000;
/** Statements of one gateway that are remembered, so that none is counted twice. */
const rememberedMax = 100_000;

/** A gateway's own words. */
export interface Statement {
  gateway: string;
  /** When it was signed, or, where the gateway's clock was wrong, when the backend had it; ms since 1970 UTC. */
  at: number;
  /** Undefined if it is not signed. */
  signer: Signer | undefined;
  checkpoint?: CheckpointClaims;
  event?: StreamEvent;
}

/**
 * What a tenant's certificates could reach and did, from the evidence in `folder`. Every signature is verified again:
 * nothing but the trusted CAs comes from outside the evidence. Reads line by line; memory goes with what the report
 * says, which is bounded. Throws FileNotFound, Io.
 */
export async function reportOn(folder: string, options: ReportOptions): Promise<Report> {
  const report = new Reporter(folder, options);
  const gateways = gatewaysIn(folder);
  for (const origin of gateways) if (origin.tenant === options.tenant) await report.takeOwn(origin);
  report.takeGone();
  // Only now it is known whose certificates the others' signatures may name.
  for (const origin of gateways) if (origin.tenant !== options.tenant) report.takeOther(origin);
  return report.report();
}

class Reporter {
  readonly #folder: string;
  readonly #options: ReportOptions;
  readonly #certificates = new Map<string, CertificateReport>();
  readonly #others = new Map<string, Report['others'][number]>();
  readonly #report: Report;
  readonly #check: EvidenceCheck;
  /** Gateways whose lines were read. */
  readonly #taken = new Set<string>();

  constructor(folder: string, options: ReportOptions) {
    const { tenant, from, to } = options;
    this.#folder = folder;
    this.#options = options;
    const { heads, keys, log = defaultLog, removedBefore } = options;
    this.#check = new EvidenceCheck({ folder, tenant, log, heads, keys, removedBefore });
    const { trees, cannotSee } = this.#check;
    const said = { certificates: [], epochs: [], sums: [], neverStored: [], audit: [], findings: [] };
    this.#report = { tenant, from, to, damaged: [], trees, cannotSee, ...said, others: [], omitted: {} };
  }

  async takeOwn(origin: Origin): Promise<void> {
    const { gateway } = origin;
    const { from, to } = this.#options;
    const epochs = new EpochTotals(gateway);
    const tree = this.#check.begin(gateway);
    const seen = new Set<string>();
    this.#taken.add(gateway);
    // What an epoch's batches came to began before the time asked for.
    for (const read of readLines(this.#folder, origin)) {
      tree.take(read.leaf, read.place);
      this.#judge(read);
      if (read.kind !== 'line' || read.line.at > to) continue;
      await this.#takeLine(origin, read.line, epochs, { seen, isAsked: read.line.at >= from });
    }
    this.#check.end(gateway, tree);
    const { reports, sums, faults } = epochs.close();
    for (const epoch of reports) this.#add('epochs', epoch);
    for (const sum of sums) this.#add('sums', sum);
    for (const fault of faults) this.#add('damaged', fault);
    this.#omit('epochs', epochs.omitted);
  }

  /** Gateways of which nothing is there but the heads that were kept elsewhere. */
  takeGone(): void {
    for (const gateway of this.#check.gateways) {
      if (!this.#taken.has(gateway)) this.#check.end(gateway, this.#check.begin(gateway));
    }
    for (const fault of this.#check.faults) this.#add('damaged', fault);
  }

  async #takeLine(
    origin: Origin,
    line: EvidenceLine,
    epochs: EpochTotals,
    { seen, isAsked }: { seen: Set<string>; isAsked: boolean },
  ): Promise<void> {
    if ('batch' in line) return epochs.takeBatch(line.batch, isAsked);
    if ('finding' in line) {
      epochs.takeFinding(line.finding, isAsked);
      if (isAsked && line.finding['severity'] !== 'info') this.#add('findings', line.finding);
      return;
    }
    // What was refused at arrival is in the findings; each statement counts once.
    if (line.outcome.startsWith('refused') || !isNew(seen, line.message)) return;
    const statement = await this.#verify(origin, line);
    if (statement === undefined) return;
    epochs.takeStatement(statement, isAsked);
    if (isAsked) this.#take(statement);
  }

  takeOther(origin: Origin): void {
    const wanted = new Set([
      ...this.#wanted().map((each) => each.fingerprintSha256),
      this.#options.certificate,
    ]);
    const { tenant, gateway } = origin;
    const other = this.#others.get(tenant) ?? { tenant, signatures: 0, named: [] };
    this.#others.set(tenant, other);
    const { from, to } = this.#options;
    for (const read of readLines(this.#folder, origin)) {
      this.#judge(read);
      if (read.kind !== 'line' || read.line.at < from || read.line.at > to) continue;
      const { line } = read;
      const jws = signatureIn(line);
      if (jws === undefined) continue;
      other.signatures++;
      const fingerprintSha256 = namedSigner(jws);
      if (fingerprintSha256 === undefined || !wanted.has(fingerprintSha256)) continue;
      const outcome = 'outcome' in line ? line.outcome : '';
      if (other.named.length >= listMax) this.#omit('named', 1);
      else other.named.push({ gateway, at: line.at, fingerprintSha256, outcome });
    }
  }

  report(): Report {
    return { ...this.#report, certificates: this.#wanted(), others: [...this.#others.values()] };
  }

  #judge(read: ReadLine): void {
    if (read.kind === 'too-long') {
      const message = `a line of ${read.bytes} bytes was not read: ${read.place}`;
      this.#add('findings', { severity: 'warning', kind: 'evidence-too-long', message });
    } else if (read.kind === 'broken' || !read.intact) {
      this.#add('damaged', read.place);
    }
  }

  async #verify(
    origin: Origin,
    line: Extract<EvidenceLine, { message: string }>,
  ): Promise<Statement | undefined> {
    const { vouchFor } = this.#options;
    const { gateway } = origin;
    try {
      if (line.channel === 'checkpoint') {
        const { claims, signer, clockWrong } = await verifyCheckpoint(
          origin,
          line.message,
          vouchFor,
          line.at,
        );
        return { gateway, at: clockWrong ? line.at : claims.at, signer, checkpoint: claims };
      }
      const verified = await verifyEvent(origin, Buffer.from(line.message), vouchFor, line.at);
      if (verified === undefined) return undefined;
      const { event, signer, clockWrong } = verified;
      return { gateway, at: clockWrong ? line.at : event.at, signer, event };
    } catch (error) {
      const when = new Date(line.at).toISOString();
      this.#add('damaged', `${origin.tenant}/${gateway} ${line.channel} of ${when}: ${describeError(error)}`);
      return undefined;
    }
  }

  #take(statement: Statement): void {
    const { gateway, event, signer } = statement;
    if (signer !== undefined) this.#countSigner(signer, statement);
    if (event?.kind === 'samples-dropped') {
      const { samples, from, to, reason } = event;
      this.#add('neverStored', { gateway, samples, from, to, reason });
    } else if (event?.kind === 'audit') {
      this.#add('audit', { gateway, at: event.at, signed: signer !== undefined, entry: event.entry });
    }
  }

  #countSigner(signer: Signer, { at, checkpoint }: Statement): void {
    const { tenant, gateway, fingerprintSha256 } = signer;
    const reach = `t/${tenant}/${gateway}/#`;
    const none = { ...signer, reach, checkpoints: 0, events: 0, signedFrom: at, signedTo: at };
    const report = this.#certificates.get(fingerprintSha256) ?? none;
    this.#certificates.set(fingerprintSha256, report);
    if (checkpoint === undefined) report.events++;
    else report.checkpoints++;
    report.signedFrom = Math.min(report.signedFrom, at);
    report.signedTo = Math.max(report.signedTo, at);
  }

  #wanted(): CertificateReport[] {
    const { certificate } = this.#options;
    return [...this.#certificates.values()].filter(
      ({ fingerprintSha256 }) => certificate === undefined || fingerprintSha256 === certificate,
    );
  }

  #add<Name extends BoundedList>(name: Name, entry: NonNullable<Report[Name]>[number]): void {
    const list = this.#report[name] as NonNullable<Report[Name]>[number][];
    if (list.length < listMax) list.push(entry);
    else this.#omit(name, 1);
  }

  #omit(name: string, count: number): void {
    if (count > 0) this.#report.omitted[name] = (this.#report.omitted[name] ?? 0) + count;
  }
}

type BoundedList = 'damaged' | 'epochs' | 'sums' | 'neverStored' | 'audit' | 'findings';

/** Whether a statement was not there before; the oldest are forgotten where there are too many. */
function isNew(seen: Set<string>, message: string): boolean {
  const digest = createHash('sha256').update(message).digest('base64').slice(0, 22);
  if (seen.has(digest)) return false;
  seen.add(digest);
  if (seen.size > rememberedMax) seen.delete(seen.values().next().value!);
  return true;
}

/** The JWS that a line carries, good or not. */
function signatureIn(line: EvidenceLine): string | undefined {
  if (!('channel' in line)) return undefined;
  if (line.channel === 'checkpoint') return line.message;
  try {
    const { proof } = JSON.parse(line.message) as { proof?: unknown };
    return typeof proof === 'string' ? proof : undefined;
  } catch {
    return undefined;
  }
}
