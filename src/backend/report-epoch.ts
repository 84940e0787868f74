import type { EvidenceLine } from './evidence.ts';
import type { Statement } from './report.ts';
import { SeqSet, type SeqRange } from './seq-set.ts';

/** What is known of one epoch of one gateway. */
export interface EpochReport {
  gateway: string;
  epoch: string;
  /** Which batches came under whose signature first, and how many samples are in them. */
  signed: { from: number; to: number; samples: number; fingerprintSha256: string }[];
  /** What the consumer found to be exactly what was signed. */
  verified: SeqRange[];
  lost: { kind: string; from: number; to: number; samples: number; reason: string; signed: boolean }[];
  /** Named as missing and not seen since, with no event that says why. */
  missing: SeqRange[];
}

/** The epochs of one gateway that its statements or findings speak of, oldest first. */
export function epochReports(
  gateway: string,
  statements: readonly Statement[],
  lines: readonly EvidenceLine[],
): EpochReport[] {
  const findings = lines.flatMap((line) => ('finding' in line ? [line.finding] : []));
  const epochs = new Set([
    ...statements.flatMap(epochOf),
    ...findings.flatMap(({ epoch }) => (epoch as string) ?? []),
  ]);
  return [...epochs].sort().map((epoch) => {
    const own = statements.filter((statement) => epochOf(statement).includes(epoch));
    const found = (kind: string): SeqSet => runsIn(findings, epoch, kind);
    const [verified, gaps, closed] = [found('verified'), found('gap'), found('gap-closed')];
    const lost = own.flatMap(lostRuns);
    const accounted = new SeqSet([...verified.runs, ...closed.runs].map(([from, to]) => [from, to]));
    for (const { from, to } of lost) accounted.add(from, to);
    const missing = gaps.runs.flatMap(([from, to]) => accounted.missing(from, to));
    return { gateway, epoch, signed: signedRuns(own), verified: rangesOf(verified), lost, missing };
  });
}

function epochOf({ checkpoint, event }: Statement): string[] {
  if (checkpoint !== undefined) return [checkpoint.epoch];
  return event !== undefined && 'seqFrom' in event ? [event.epoch] : [];
}

/** A checkpoint speaks for all batches up to its own; what an earlier one spoke for already is that one's. */
function signedRuns(statements: readonly Statement[]): EpochReport['signed'] {
  const runs: EpochReport['signed'] = [];
  let last = { seq: 0, samples: 0 };
  const checkpoints = statements.flatMap(({ checkpoint, signer }) =>
    checkpoint === undefined || signer === undefined ? [] : [{ ...checkpoint, ...signer }],
  );
  for (const { seq, samples, fingerprintSha256 } of checkpoints.sort((a, b) => a.seq - b.seq)) {
    if (seq === last.seq) continue;
    const previous = runs.at(-1);
    if (previous?.fingerprintSha256 === fingerprintSha256) {
      previous.to = seq;
      previous.samples += samples - last.samples;
    } else {
      runs.push({ from: last.seq + 1, to: seq, samples: samples - last.samples, fingerprintSha256 });
    }
    last = { seq, samples };
  }
  return runs;
}

function lostRuns({ event, signer }: Statement): EpochReport['lost'] {
  if (event === undefined || !('seqFrom' in event)) return [];
  const { kind, seqFrom: from, seqTo: to, samples, reason } = event;
  return [{ kind, from, to, samples, reason, signed: signer !== undefined }];
}

function runsIn(findings: readonly Readonly<Record<string, unknown>>[], epoch: string, kind: string): SeqSet {
  const set = new SeqSet();
  for (const finding of findings) {
    const { from, to } = finding;
    if (finding['epoch'] !== epoch || finding['kind'] !== kind) continue;
    if (Number.isSafeInteger(from) && Number.isSafeInteger(to)) set.add(from as number, to as number);
  }
  return set;
}

function rangesOf(set: SeqSet): SeqRange[] {
  return set.runs.map(([from, to]) => [from, to]);
}
