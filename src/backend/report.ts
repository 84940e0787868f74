import { createHash } from 'node:crypto';
import { describeError } from '../base/error.ts';
import type { CheckpointClaims } from '../messages/checkpoint.ts';
import type { StreamEvent } from '../messages/event.ts';
import type { Origin } from '../messages/topic.ts';
import { gatewaysIn, readLines, type ReadLine } from './evidence-reader.ts';
import type { EvidenceLine } from './evidence.ts';
import { EpochAccounts, type EpochReport } from './report-epoch.ts';
import { namedSigner, type Signer, type VouchFor } from './signature.ts';
import { verifyCheckpoint, verifyEvent } from './statement.ts';

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
  /** Evidence that is not what was kept: lines that do not follow from the one before, signatures gone bad. */
  damaged: string[];
  certificates: CertificateReport[];
  epochs: EpochReport[];
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
  /** Undefined where nobody signed it. */
  signer: Signer | undefined;
  checkpoint?: CheckpointClaims;
  event?: StreamEvent;
}

/**
 * What a tenant's certificates could reach and did, from the evidence in `folder`. Every signature is verified anew:
 * nothing but the trusted CAs comes from outside the evidence. Reads line by line; memory goes with what the report
 * says, which is bounded. Throws FileNotFound, Io.
 */
export async function reportOn(folder: string, options: ReportOptions): Promise<Report> {
  const report = new Reporter(folder, options);
  const gateways = gatewaysIn(folder);
  for (const origin of gateways) if (origin.tenant === options.tenant) await report.takeOwn(origin);
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

  constructor(folder: string, options: ReportOptions) {
    const { tenant, from, to } = options;
    this.#folder = folder;
    this.#options = options;
    const lists = { damaged: [], certificates: [], epochs: [], neverStored: [], audit: [], findings: [] };
    this.#report = { tenant, from, to, ...lists, others: [], omitted: {} };
  }

  async takeOwn(origin: Origin): Promise<void> {
    const epochs = new EpochAccounts(origin.gateway);
    const seen = new Set<string>();
    for (const line of this.#lines(origin)) {
      if ('finding' in line) {
        epochs.takeFinding(line.finding);
        if (line.finding['severity'] !== 'info') this.#add('findings', line.finding);
        continue;
      }
      // What was refused at arrival is in the findings; each statement counts once.
      if (line.outcome.startsWith('refused') || !isNew(seen, line.message)) continue;
      const statement = await this.#verify(origin, line);
      if (statement === undefined) continue;
      epochs.takeStatement(statement);
      this.#take(statement);
    }
    for (const epoch of epochs.reports()) this.#add('epochs', epoch);
    this.#omit('epochs', epochs.omitted);
  }

  takeOther(origin: Origin): void {
    const wanted = new Set([
      ...this.#wanted().map((each) => each.fingerprintSha256),
      this.#options.certificate,
    ]);
    const { tenant, gateway } = origin;
    const other = this.#others.get(tenant) ?? { tenant, signatures: 0, named: [] };
    this.#others.set(tenant, other);
    for (const line of this.#lines(origin)) {
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

  /** The lines of the time asked for; what is wrong with the files is noted. */
  *#lines(origin: Origin): Generator<EvidenceLine> {
    const { from, to } = this.#options;
    for (const read of readLines(this.#folder, origin, from, to)) {
      this.#judge(read);
      if (read.kind === 'line' && read.line.at >= from && read.line.at <= to) yield read.line;
    }
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

  #add<Name extends BoundedList>(name: Name, entry: Report[Name][number]): void {
    const list = this.#report[name] as Report[Name][number][];
    if (list.length < listMax) list.push(entry);
    else this.#omit(name, 1);
  }

  #omit(name: string, count: number): void {
    if (count > 0) this.#report.omitted[name] = (this.#report.omitted[name] ?? 0) + count;
  }
}

type BoundedList = 'damaged' | 'epochs' | 'neverStored' | 'audit' | 'findings';

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
  if ('finding' in line) return undefined;
  if (line.channel === 'checkpoint') return line.message;
  try {
    const { proof } = JSON.parse(line.message) as { proof?: unknown };
    return typeof proof === 'string' ? proof : undefined;
  } catch {
    return undefined;
  }
}
