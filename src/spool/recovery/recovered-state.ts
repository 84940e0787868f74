import { basename } from 'node:path';
import { chainStart } from '../../messages/hash-chain.ts';
import type { EventBody, LostRun } from '../../messages/event.ts';
import { lostReports } from './loss-report.ts';
import { currentEpochNumber, type Head } from '../state/ledger.ts';
import type { Inheritance } from './inheritance.ts';
import { epochNumberOf, positionOf, seqOf } from '../state/position.ts';
import { countOf, difference, has, type Runs, runsOf } from '../../base/ranges.ts';
import type { SpoolDatabase } from '../storage/database.ts';
import type { Finds } from './recover.ts';

/** More holes than this are told as one per epoch: an event each would outweigh the batches. */
const runsMax = 500;

type KnownHead = Pick<Head, 'epoch' | 'seq' | 'chain'>;
/** As the high-water mark has it. */
type OpenHead = Pick<Head, 'epoch' | 'seq'> & { chain: string | null };
type Epochs = readonly { number: number; id: string }[];

/** What the new file holds after a salvage, and what it does not hold any more: nothing is lost unreported. */
export function reckon(database: SpoolDatabase, finds: Finds): Inheritance {
  const { ledger, keys, events, held, mark } = finds;
  const present = runsOf(positionsOf(database));
  const rejected = difference(present, difference(present, ledger?.rejected ?? []));
  const waiting = difference(present, rejected);
  const epochs = epochsOf(finds);
  const head = lastHead(database, finds, epochs, present);
  const missing = difference(expected(finds, epochs, present), present);
  const nextEntry = Math.max(ledger?.nextEntry ?? 1, 1 + (events.at(-1) ?? 0), 1 + (held.at(-1) ?? 0));
  return {
    reason: reasonOf(finds),
    epochs: epochs.filter(({ number }) => present.some(([from]) => epochNumberOf(from) === number)),
    previous: head ?? null,
    waiting,
    samplesWaiting: samplesIn(database, waiting),
    rejected,
    events: runsOf(events),
    held: runsOf(held),
    nextEntry: Math.max(nextEntry, mark?.nextEntry ?? 0),
    quarantined: (ledger?.quarantined ?? 0) + countOf(missing),
    dropped: ledger?.dropped ?? 0,
    ...(ledger?.sent && { sent: ledger.sent }),
    keys,
    losses: [
      ...coarse(missing).map((run) => lostBatches(database, finds, epochs, head, run)),
      ...lostWithoutTrace(finds, epochs),
      ...lostEvents(finds, head, nextEntry),
      ...lostUndated(finds),
    ],
  };
}

function* positionsOf(database: SpoolDatabase): Generator<number> {
  for (const { position } of database.batches()) yield position;
}

function samplesIn(database: SpoolDatabase, runs: Runs): number {
  let sum = 0;
  for (const { position, samples } of database.batches()) if (has(runs, position)) sum += samples;
  return sum;
}

/** All that the ledger or a batch names, in their order. */
function epochsOf({ ledger, epochs }: Finds): Epochs {
  const byNumber = new Map([
    ...(ledger?.epochs ?? []).map(({ number, id }) => [number, id] as const),
    ...epochs,
  ]);
  return [...byNumber].map(([number, id]) => ({ number, id })).sort((a, b) => a.number - b.number);
}

/** The end of the last epoch's chain, as far as it can be known. */
function lastHead(
  database: SpoolDatabase,
  { ledger }: Finds,
  epochs: Epochs,
  present: Runs,
): KnownHead | undefined {
  const last = present.at(-1)?.[1];
  const known = ledger && positionOf(currentEpochNumber(ledger), ledger.head.seq);
  if (last !== undefined && (known === undefined || last > known)) {
    const { epoch, chain_after } = database.batch(last)!;
    return { epoch, seq: seqOf(last), chain: chain_after.toString('hex') };
  }
  const isLater = ledger !== undefined && ledger.head.epoch === epochs.at(-1)?.id;
  return isLater ? { epoch: ledger.head.epoch, seq: ledger.head.seq, chain: ledger.head.chain } : undefined;
}

/**
 * Positions that had to be there: what waited by the ledger, and what came after it, up to the
 * high-water mark. Without a ledger everything from each epoch's first batch on, delivered or not.
 */
function expected({ ledger, mark }: Finds, epochs: Epochs, present: Runs): Runs {
  const lastOf = (number: number): number => {
    const beginFirstEpoch = present.findLast(([from]) => epochNumberOf(from) === number)?.[1] ?? 0;
    const seen = epochs.some((epoch) => epoch.number === number && epoch.id === mark?.epoch);
    return Math.max(beginFirstEpoch, seen ? positionOf(number, mark!.seq) : 0);
  };
  if (ledger === undefined)
    return nonEmpty(epochs.map(({ number }) => [positionOf(number, 1), lastOf(number)]));
  const current = currentEpochNumber(ledger);
  return nonEmpty([...ledger.waiting, [positionOf(current, ledger.head.seq + 1), lastOf(current)]]);
}

function nonEmpty(runs: Runs): Runs {
  return runs.filter(([from, to]) => from <= to);
}

function coarse(runs: Runs): Runs {
  if (runs.length <= runsMax) return runs;
  const byEpoch = Map.groupBy(runs, ([from]) => epochNumberOf(from));
  return [...byEpoch.values()].map((each) => [each[0]![0], each.at(-1)![1]]);
}

function lostBatches(
  database: SpoolDatabase,
  { ledger }: Finds,
  epochs: Epochs,
  head: KnownHead | undefined,
  [from, to]: Runs[number],
): EventBody {
  const epoch = epochs.find(({ number }) => number === epochNumberOf(from))!.id;
  const chainAt = (seq: number): string | undefined => {
    if (seq === 0) return chainStart.toString('hex');
    return [ledger?.head, head].find((known) => known?.epoch === epoch && known.seq === seq)?.chain;
  };
  const before = database.batch(from - 1)?.chain_after.toString('hex') ?? chainAt(seqOf(from) - 1);
  const after = database.batch(to + 1)?.chain_before.toString('hex') ?? chainAt(seqOf(to));
  const run = unknownRun(epoch, seqOf(from), seqOf(to));
  return { ...run, chainBefore: before ?? null, chainAfter: after ?? null };
}

/** An epoch that only the high-water mark names. */
function lostWithoutTrace({ mark }: Finds, epochs: Epochs): EventBody[] {
  if (mark === undefined || mark.seq === 0) return [];
  if (epochs.some(({ id }) => id === mark.epoch)) return [];
  const run = unknownRun(mark.epoch, 1, mark.seq);
  if (!mark.isShredded) return [run];
  return [{ ...run, kind: 'dropped', reason: 'shredded, where they had not been delivered before' }];
}

function unknownRun(
  epoch: string,
  seqFrom: number,
  seqTo: number,
): { kind: 'quarantined'; reason: string } & LostRun {
  return {
    kind: 'quarantined',
    reason: 'damaged on disk, where they had not been delivered before',
    epoch,
    seqFrom,
    seqTo,
    batches: seqTo - seqFrom + 1,
    samples: 0,
    from: null,
    to: null,
    chainBefore: seqFrom === 1 ? chainStart.toString('hex') : null,
    chainAfter: null,
  };
}

function lostEvents({ ledger, events, mark }: Finds, head: KnownHead | undefined, next: number): EventBody[] {
  const end: OpenHead | undefined = head ?? (mark && { ...mark, chain: null });
  if (end === undefined) return [];
  if (ledger === undefined) return [lostReports(end, 'reports may have been lost with the ledger')];
  const unseen = Math.max(0, (mark?.nextEntry ?? 0) - next);
  const count = countOf(difference(ledger.events, runsOf(events))) + unseen;
  return count === 0 ? [] : [lostReports(end, `${count} reports were damaged on disk`)];
}

function lostUndated({ ledger, held }: Finds): EventBody[] {
  const count = countOf(difference(ledger?.held ?? [], runsOf(held)));
  if (count === 0) return [];
  const reason = `${count} chunks of undated samples were damaged on disk`;
  return [{ kind: 'samples-dropped', reason, samples: 0, from: null, to: null }];
}

function reasonOf({ file, mark }: Finds): string {
  if (file !== undefined) return `the spool was damaged; it is kept as ${basename(file)}`;
  return mark?.isShredded ? 'the spool was shredded' : 'the spool file was gone';
}
