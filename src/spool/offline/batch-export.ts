import type { SpoolFile } from '../state/spool-file.ts';
import type { Ledger } from '../state/ledger.ts';
import { epochNumberOf, seqOf } from '../state/position.ts';
import { ascending, countOf, type Runs, unionOf } from '../../base/ranges.ts';
import { decompress } from '../sealing/sealed-batch.ts';

/** A run of batches that were read out. */
export interface ExportedRun {
  epoch: string;
  seqFrom: number;
  seqTo: number;
  batches: number;
}

/** The payloads of all sound batches, one JSON document each, oldest first: those that wait and those refused. */
export function* payloads(spoolFile: SpoolFile): Generator<Buffer> {
  for (const position of ascending(present(spoolFile.ledger))) {
    const batch = spoolFile.read(position);
    if (batch !== undefined) yield decompress(batch.compressed);
  }
}

/** What `payloads` gives, by epoch. */
export function exportedRuns({ ledger }: SpoolFile): ExportedRun[] {
  const byEpoch = Map.groupBy(present(ledger), ([from]) => epochNumberOf(from));
  return [...byEpoch].map(([number, runs]) => ({
    epoch: ledger.epochs.find((epoch) => epoch.number === number)!.id,
    seqFrom: seqOf(runs[0]![0]),
    seqTo: seqOf(runs.at(-1)![1]),
    batches: countOf(runs),
  }));
}

function present({ waiting, rejected }: Ledger): Runs {
  return unionOf(waiting, rejected);
}
