import { lostSamples } from '../../backend/notice-text.ts';
import { plainDocument } from '../../base/plain-text.ts';
import type { EpochReport, EpochSum } from '../../backend/report-epoch.ts';
import type { CertificateReport, Report } from '../../backend/report.ts';
import { formatRanges } from '../../backend/seq-set.ts';
import type { TreeReport } from '../../backend/tree/evidence-check.ts';

/** Findings and audit entries that a page for people still lists; `--json` has all. */
const listedMax = 50;

type Finding = Report['findings'][number];

/** The report as a page for people; much of its text comes from senders. */
export function formatReport(found: Report): string {
  const report = plainDocument(found);
  const { tenant, from, to, damaged, certificates, epochs } = report;
  return [
    `Evidence of tenant ${tenant}, ${iso(from)} to ${iso(to)}`,
    ...section('The evidence itself is damaged:', damaged),
    ...section('Under signed heads:', (report.trees ?? []).map(treeLine)),
    ...section('What this cannot show:', report.cannotSee ?? []),
    ...(certificates.length === 0 ? ['', 'No certificate signed anything in this time.'] : []),
    ...certificates.flatMap(certificateLines),
    ...epochs.flatMap((epoch) => epochLines(epoch, certificates.length > 1)),
    ...section(
      'Signed, less verified, less declared dropped or quarantined:',
      (report.sums ?? []).toSorted((a, b) => leftOf(b) - leftOf(a)).map(sumLine),
    ),
    ...section(
      'Never stored:',
      report.neverStored.map(({ gateway, reason, ...lost }) => `${gateway}: ${lostSamples(lost)}: ${reason}`),
    ),
    ...section(
      'Audit:',
      report.audit.map(
        ({ gateway, at, signed, entry }) =>
          `${iso(at)} ${gateway} ${signed ? '' : '(unsigned) '}${JSON.stringify(entry)}`,
      ),
    ),
    ...section(
      'Findings:',
      report.findings.toSorted(bySeverity).map(({ severity, kind, gateway, message }) =>
        [severity, gateway, kind]
          .map(String)
          .join(' ')
          .concat(`: ${String(message)}`),
      ),
    ),
    '',
    'Other tenants:',
    ...report.others.map(otherLine),
    ...(report.others.length === 0 ? ['  none in this evidence'] : []),
    ...section(
      'Not in this report, as there was too much of it:',
      Object.entries(report.omitted).map(([what, count]) => `${what}: ${count} more`),
    ),
    '',
  ].join('\n');
}

function certificateLines(certificate: CertificateReport): string[] {
  const { tenant, gateway, fingerprintSha256, notBefore, notAfter, reach } = certificate;
  const { checkpoints, events, signedFrom, signedTo } = certificate;
  return [
    '',
    `Certificate ${fingerprintSha256}`,
    `  names      tenant ${tenant}, gateway ${gateway}; valid ${iso(notBefore)} to ${iso(notAfter)}`,
    `  reaches    ${reach}, where the broker holds each certificate to its own root`,
    `  signed     ${checkpoints} checkpoints and ${events} events, ${iso(signedFrom)} to ${iso(signedTo)}`,
  ];
}

function epochLines(
  { gateway, epoch, signed, verified, lost, missing }: EpochReport,
  several: boolean,
): string[] {
  return [
    '',
    `Epoch ${epoch} of ${gateway}`,
    ...signed.map(({ from, to, samples, fingerprintSha256 }) => {
      const by = several ? ` by ${fingerprintSha256.slice(0, 16)}…` : '';
      return `  signed${by}     batches ${formatRanges([[from, to]])}, ${samples} samples`;
    }),
    `  verified   ${verified.length === 0 ? 'nothing' : formatRanges(verified)}`,
    ...lost.map(({ kind, from, to, samples, reason, signed }) => {
      const word = signed ? 'signed' : 'unsigned';
      return `  ${kind.padEnd(10)} ${formatRanges([[from, to]])}, ${samples} samples: ${reason} (${word})`;
    }),
    `  missing    ${missing.length === 0 ? 'nothing' : `${formatRanges(missing)}, and no event says why`}`,
  ];
}

function treeLine({ gateway, lines, signed, removed }: TreeReport): string {
  const gone = removed === 0 ? '' : ` (of these ${removed} were removed on purpose)`;
  if (lines === signed) return `${gateway}: ${lines === 0 ? 'no lines' : `all ${lines} lines${gone}`}`;
  return `${gateway}: ${signed} of ${lines} lines${gone}; no head that fits covers the last ${lines - signed}`;
}

/** The listed entries are the important ones: entries without a fault can't push them off the page. */
function leftOf({ signed, verified, declared }: EpochSum): number {
  return signed - verified - declared;
}

function bySeverity(a: Finding, b: Finding): number {
  return Number(b['severity'] === 'security') - Number(a['severity'] === 'security');
}

function sumLine(sum: EpochSum): string {
  const { gateway, epoch, signed, verified, declared, unaccounted, noted } = sum;
  const left = leftOf(sum);
  const which = left === 0 ? '' : ` (${formatRanges(unaccounted)})`;
  const shown = noted === 0 ? '' : `; of these ${noted} were noted as verified, and no digests here show it`;
  return `${gateway} ${epoch}: ${signed} - ${verified} - ${declared} = ${left}${which}${shown}`;
}

function otherLine({ tenant, signatures, named }: Report['others'][number]): string {
  if (named.length === 0) return `  ${tenant}: ${signatures} signatures, none by a certificate above`;
  const attempts = named.map(({ gateway, at, outcome }) => `    ${iso(at)} on ${gateway}: ${outcome}`);
  return [
    `  ${tenant}: ${signatures} signatures, ${named.length} name a certificate above:`,
    ...attempts,
  ].join('\n');
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const more = lines.length > listedMax ? [`and ${lines.length - listedMax} more`] : [];
  return ['', title, ...[...lines.slice(0, listedMax), ...more].map((line) => `  ${line}`)];
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
