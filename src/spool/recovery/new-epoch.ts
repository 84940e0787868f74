import { chainStart } from '../../messages/hash-chain.ts';
import type { TelemetryBatch } from '../../messages/telemetry.ts';
import type { SpoolFile, NextLedger } from '../state/spool-file.ts';
import { markDamaged, deliver } from '../batches/removal.ts';
import { decompress } from '../sealing/sealed-batch.ts';
import type { EncodedSample } from '../batches/append.ts';
import { currentEpochNumber, type Head } from '../state/ledger.ts';
import { positionOf, seqOf } from '../state/position.ts';
import { ascending } from '../../base/ranges.ts';
import { ulid } from '../../base/ulid.ts';

/** A signed head of our own epoch, as another party kept it. */
export type RetainedHead = Pick<Head, 'epoch' | 'seq' | 'chain' | 'to'>;

/** Why the file that was opened at `opened` is an older copy of itself; undefined if it is not. */
export function whySetBack({ ledger }: SpoolFile, opened: Head, kept: RetainedHead): string | undefined {
  const isAhead = kept.seq > opened.seq || (kept.seq === opened.seq && kept.chain !== opened.chain);
  if (ledger.head.epoch !== kept.epoch || opened.epoch !== kept.epoch || !isAhead) return undefined;
  return `the spool was set back: it ended at ${opened.seq}, and the broker has a checkpoint at ${kept.seq}`;
}

/** Positions of this epoch that were given after the opening, or to samples younger than all that `kept` covers. */
export function storedSince({ ledger, database }: SpoolFile, opened: Head, { to }: RetainedHead): number[] {
  const first = positionOf(currentEpochNumber(ledger), 1);
  return [...ascending(ledger.waiting, first)].filter(
    (position) => seqOf(position) > opened.seq || database.batchTime(position)! > (to ?? Infinity),
  );
}

/** Within a commit: what comes from now on is in an epoch of its own, which follows `previous`. */
export function beginEpoch(
  spoolFile: SpoolFile,
  next: NextLedger,
  reason: string,
  previous: RetainedHead,
): void {
  const id = ulid(spoolFile.clock.wallMs());
  const { epoch, seq, chain } = previous;
  next.epochs = [...next.epochs, { number: currentEpochNumber(next) + 1, id }];
  next.head = {
    epoch: id,
    seq: 0,
    chain: chainStart.toString('hex'),
    samples: 0,
    from: null,
    to: null,
  };
  next.previous = { epoch, seq, chain };
  next.checkpointSeq = 0;
  spoolFile.database.writeCheckpointJws('');
  spoolFile.eventQueue.note(next, { kind: 'epoch-started', epoch: id, reason, previous: next.previous });
}

/** Within a commit: takes out a batch that was never sent, and has its samples stored under the next number. */
export function renumber(
  spoolFile: SpoolFile,
  next: NextLedger,
  position: number,
  database: (samples: EncodedSample[]) => unknown,
): void {
  const beginFirstEpoch = spoolFile.read(position);
  if (beginFirstEpoch === undefined) return markDamaged(spoolFile, next, position);
  const { samples } = JSON.parse(decompress(beginFirstEpoch.compressed).toString()) as TelemetryBatch;
  deliver(spoolFile, next, position, beginFirstEpoch.row.samples);
  database(samples.map((sample) => ({ json: JSON.stringify(sample), ts: sample.ts })));
}
