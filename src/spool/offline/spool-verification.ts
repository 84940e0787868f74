import { MerestoneError } from '../../base/error.ts';
import type { TelemetryBatch } from '../../messages/telemetry.ts';
import { chainNext } from '../../messages/hash-chain.ts';
import type { SpoolFile } from '../state/spool-file.ts';
import type { EntryKind } from '../sealing/sealed-entry.ts';
import { keptFiles } from '../storage/layout.ts';
import type { Head, Ledger } from '../state/ledger.ts';
import { epochNumberOf, seqOf } from '../state/position.ts';
import { ascending, countOf, has, type Runs, unionOf } from '../../base/ranges.ts';
import type { BatchRow } from '../storage/database-schema.ts';
import { decompress } from '../sealing/sealed-batch.ts';

/** One thing that is wrong, and where. */
export interface SpoolFinding {
  /** `batch 01JD…/1042`, `event 7`, `undated samples 9`, `structure`. */
  where: string;
  what: string;
}

export interface SpoolVerificationResult {
  good: boolean;
  tenant: string;
  gateway: string;
  head: Head;
  /** Walked, sound or not: those that wait and those that the broker refused. */
  batches: number;
  samples: number;
  events: number;
  held: number;
  findings: SpoolFinding[];
  /** Damaged files that were set aside here, by path. */
  aside: string[];
}

/**
 * Walks the whole spool: opens every seal, recomputes every link of the chain, holds every batch against
 * its place and SQLite's structure against itself. Changes nothing.
 */
export function verify(spoolFile: SpoolFile): SpoolVerificationResult {
  const { ledger, database, origin } = spoolFile;
  const walk: Walk = { batches: 0, samples: 0, findings: [] };
  const { findings } = walk;
  try {
    findings.push(...database.structuralFaults().map((what) => ({ where: 'structure', what })));
    walkBatches(spoolFile, walk);
    findings.push(...unexpectedEntries(spoolFile));
    findings.push(...entries(spoolFile, 'event', ledger.events), ...entries(spoolFile, 'held', ledger.held));
  } catch (error) {
    if (!(error instanceof MerestoneError) || error.code !== 'SpoolDamaged') throw error;
    findings.push({ where: 'structure', what: `the walk ends here: ${error.message}` });
  }
  return {
    good: findings.length === 0,
    ...origin,
    head: ledger.head,
    batches: walk.batches,
    samples: walk.samples,
    events: countOf(ledger.events),
    held: countOf(ledger.held),
    findings,
    aside: keptFiles(database.files.directory),
  };
}

type Walk = Pick<SpoolVerificationResult, 'batches' | 'samples' | 'findings'>;

function walkBatches(spoolFile: SpoolFile, walk: Walk): void {
  const { ledger } = spoolFile;
  let previous: BatchRow | undefined;
  for (const position of ascending(unionOf(ledger.waiting, ledger.rejected, ledger.damaged))) {
    const beginFirstEpoch = spoolFile.read(position);
    const faults =
      beginFirstEpoch === undefined
        ? [missing(spoolFile, position)]
        : faultsIn(spoolFile, beginFirstEpoch, previous);
    walk.findings.push(...faults.map((what) => ({ where: nameOf(ledger, position), what })));
    walk.batches += 1;
    walk.samples += beginFirstEpoch?.row.samples ?? 0;
    previous = beginFirstEpoch?.row;
  }
}

function missing({ database, ledger }: SpoolFile, position: number): string {
  const known = has(ledger.damaged, position) ? ', which was found and reported before' : '';
  if (!database.hasBatch(position)) return `is not there, though the ledger has it${known}`;
  return `does not authenticate: a bit of it is not what was written${known}`;
}

function faultsIn(
  { ledger, origin }: SpoolFile,
  { row, compressed }: { row: BatchRow; compressed: Buffer },
  previous: BatchRow | undefined,
): string[] {
  const payload = decompress(compressed);
  const { tenant, gateway, epoch, seq, samples } = JSON.parse(payload.toString()) as TelemetryBatch;
  const place = { ...origin, epoch: row.epoch, seq: seqOf(row.position), samples: row.samples };
  const said = { tenant, gateway, epoch, seq, samples: samples.length };
  const isHead = row.epoch === ledger.head.epoch && place.seq === ledger.head.seq;
  const follows = previous?.position === row.position - 1;
  const checks: [isGood: boolean, fault: string][] = [
    [JSON.stringify(said) === JSON.stringify(place), 'its payload says that it is another batch'],
    [
      chainNext(row.chain_before, payload).equals(row.chain_after),
      'its chain value is not that of its payload',
    ],
    [
      !follows || previous.chain_after.equals(row.chain_before),
      'it does not follow from the batch before it',
    ],
    [!isHead || ledger.head.chain === row.chain_after.toString('hex'), 'the ledger has another head'],
  ];
  return checks.filter(([isGood]) => !isGood).map(([, fault]) => fault);
}

/** Rows that the ledger does not know: they would never be sent, and this program did not write them. */
function unexpectedEntries({ database, ledger }: SpoolFile): SpoolFinding[] {
  const known = unionOf(ledger.waiting, ledger.rejected, ledger.damaged);
  const unknown = [...database.batches()].filter(({ position }) => !has(known, position));
  return unknown.map(({ position }) => ({ where: nameOf(ledger, position), what: 'is not in the ledger' }));
}

function entries(spoolFile: SpoolFile, kind: EntryKind, numbers: Runs): SpoolFinding[] {
  const unreadable = [...ascending(numbers)].filter(
    (number) => spoolFile.readEntry(kind, number) === undefined,
  );
  const name = kind === 'event' ? 'event' : 'undated samples';
  return unreadable.map((number) => ({
    where: `${name} ${number}`,
    what: 'is not there, or does not authenticate',
  }));
}

/** `batch 01JD3W5V2K0000000000000000/1042`. */
function nameOf({ epochs }: Ledger, position: number): string {
  const epoch = epochs.find(({ number }) => number === epochNumberOf(position));
  return `batch ${epoch?.id ?? 'of an unknown epoch'}/${seqOf(position)}`;
}
