import { describeError } from '../base/error.ts';
import type { CheckpointClaims } from '../stream/checkpoint.ts';
import type { StreamEvent } from '../stream/event.ts';
import type { EvidenceLine, GatewayEvidence } from './evidence.ts';
import { epochReports, type EpochReport } from './report-epoch.ts';
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
  neverStored: { gateway: string; samples: number; from: number; to: number; reason: string }[];
  /** Entries of the gateways' audit logs. */
  audit: { gateway: string; at: number; signed: boolean; entry: Record<string, unknown> }[];
  /** Warnings and security findings, as the consumer noted them. */
  findings: Readonly<Record<string, unknown>>[];
  /** For every other tenant: how many signatures are kept, and those that name a certificate from above. */
  others: { tenant: string; signatures: number; named: NamedSignature[] }[];
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

/** A gateway's own words. */
export interface Statement {
  gateway: string;
  /** Undefined where nobody signed it. */
  signer: Signer | undefined;
  checkpoint?: CheckpointClaims;
  event?: StreamEvent;
}

/**
 * What a tenant's certificates could reach and did. Every signature is verified anew: nothing but the
 * trusted CAs comes from outside the evidence.
 */
export async function reportOn(
  evidence: readonly GatewayEvidence[],
  options: ReportOptions,
): Promise<Report> {
  const { tenant, from, to, certificate, vouchFor } = options;
  const own = evidence.filter(({ origin }) => origin.tenant === tenant);
  const damaged = evidence.flatMap(({ broken }) => broken);
  const statements: Statement[] = [];
  for (const each of own) statements.push(...(await statementsOf(each, vouchFor, damaged)));
  const certificates = certificatesOf(statements).filter(
    ({ fingerprintSha256 }) => certificate === undefined || fingerprintSha256 === certificate,
  );
  const wanted = new Set([...certificates.map((each) => each.fingerprintSha256), certificate ?? '']);
  const findings = own.flatMap(({ lines }) =>
    lines.flatMap((line) => ('finding' in line ? [line.finding] : [])),
  );
  return {
    tenant,
    from,
    to,
    damaged,
    certificates,
    epochs: own.flatMap(({ origin: { gateway }, lines }) =>
      epochReports(
        gateway,
        statements.filter((statement) => statement.gateway === gateway),
        lines,
      ),
    ),
    neverStored: statements.flatMap(({ gateway, event }) =>
      event?.kind === 'samples-dropped'
        ? [{ gateway, samples: event.samples, from: event.from, to: event.to, reason: event.reason }]
        : [],
    ),
    audit: statements.flatMap(({ gateway, event, signer }) =>
      event?.kind === 'audit'
        ? [{ gateway, at: event.at, signed: signer !== undefined, entry: event.entry }]
        : [],
    ),
    findings: findings.filter(({ severity }) => severity !== 'info'),
    others: othersOf(evidence, tenant, wanted),
  };
}

/** Each statement once; what was refused at arrival is in the findings. */
async function statementsOf(
  { origin, lines }: GatewayEvidence,
  vouchFor: VouchFor,
  damaged: string[],
): Promise<Statement[]> {
  const statements: Statement[] = [];
  const seen = new Set<string>();
  for (const line of lines) {
    if ('finding' in line || line.outcome.startsWith('refused') || seen.has(line.message)) continue;
    seen.add(line.message);
    try {
      const { gateway } = origin;
      if (line.channel === 'checkpoint') {
        const { claims, signer } = await verifyCheckpoint(origin, line.message, vouchFor);
        statements.push({ gateway, signer, checkpoint: claims });
      } else {
        const verified = await verifyEvent(origin, Buffer.from(line.message), vouchFor);
        if (verified !== undefined) statements.push({ gateway, ...verified });
      }
    } catch (error) {
      const when = new Date(line.at).toISOString();
      damaged.push(`${origin.tenant}/${origin.gateway} ${line.channel} of ${when}: ${describeError(error)}`);
    }
  }
  return statements;
}

function certificatesOf(statements: readonly Statement[]): CertificateReport[] {
  const reports = new Map<string, CertificateReport>();
  for (const { signer, checkpoint, event } of statements) {
    const at = checkpoint?.at ?? event?.at;
    if (signer === undefined || at === undefined) continue;
    const { tenant, gateway, fingerprintSha256 } = signer;
    const reach = `t/${tenant}/${gateway}/#`;
    const none = { ...signer, reach, checkpoints: 0, events: 0, signedFrom: at, signedTo: at };
    const report = reports.get(fingerprintSha256) ?? none;
    reports.set(fingerprintSha256, report);
    if (checkpoint === undefined) report.events++;
    else report.checkpoints++;
    report.signedFrom = Math.min(report.signedFrom, at);
    report.signedTo = Math.max(report.signedTo, at);
  }
  return [...reports.values()];
}

function othersOf(
  evidence: readonly GatewayEvidence[],
  tenant: string,
  wanted: ReadonlySet<string>,
): Report['others'] {
  const others = new Map<string, Report['others'][number]>();
  for (const { origin, lines } of evidence) {
    if (origin.tenant === tenant) continue;
    const other = others.get(origin.tenant) ?? { tenant: origin.tenant, signatures: 0, named: [] };
    others.set(origin.tenant, other);
    for (const line of lines) {
      const jws = signatureIn(line);
      if (jws === undefined) continue;
      other.signatures++;
      const fingerprintSha256 = namedSigner(jws);
      if (fingerprintSha256 === undefined || !wanted.has(fingerprintSha256)) continue;
      const outcome = 'outcome' in line ? line.outcome : '';
      other.named.push({ gateway: origin.gateway, at: line.at, fingerprintSha256, outcome });
    }
  }
  return [...others.values()];
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
