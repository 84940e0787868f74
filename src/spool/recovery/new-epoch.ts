import { chainStart } from '../../messages/hash-chain.ts';
import type { TelemetryBatch } from '../../messages/telemetry.ts';
import type { Books, Draft } from '../state/spool-file.ts';
import { condemn, deliver } from '../batches/removal.ts';
import { decompress } from '../sealing/sealed-batch.ts';
import type { EncodedSample } from '../batches/append.ts';
import { currentEpochNumber, type Head } from '../state/ledger.ts';
import { positionOf, seqOf } from '../state/position.ts';
import { ascending } from '../../base/ranges.ts';
import { ulid } from '../../base/ulid.ts';

/** A signed head of our own epoch, as somebody else kept it. */
export type KeptHead = Pick<Head, 'epoch' | 'seq' | 'chain' | 'to'>;

/** Why the file that was opened at `opened` is an older copy of itself; undefined where it is none. */
export function whySetBack({ ledger }: Books, opened: Head, kept: KeptHead): string | undefined {
  const isAhead = kept.seq > opened.seq || (kept.seq === opened.seq && kept.chain !== opened.chain);
  if (ledger.head.epoch !== kept.epoch || opened.epoch !== kept.epoch || !isAhead) return undefined;
  return `the spool was set back: it ended at ${opened.seq}, and the broker has a checkpoint at ${kept.seq}`;
}

/** Positions of this epoch that were given after the opening, or to samples younger than all that `kept` covers. */
export function storedSince({ ledger, store }: Books, opened: Head, { to }: KeptHead): number[] {
  const first = positionOf(currentEpochNumber(ledger), 1);
  return [...ascending(ledger.waiting, first)].filter(
    (position) => seqOf(position) > opened.seq || store.batchTime(position)! > (to ?? Infinity),
  );
}

/** Within a commit: what comes from now on is in an epoch of its own, which follows `previous`. */
export function beginEpoch(books: Books, draft: Draft, reason: string, previous: KeptHead): void {
  const id = ulid(books.clock.wallMs());
  const { epoch, seq, chain } = previous;
  draft.epochs = [...draft.epochs, { number: currentEpochNumber(draft) + 1, id }];
  draft.head = {
    epoch: id,
    seq: 0,
    chain: chainStart.toString('hex'),
    samples: 0,
    from: null,
    to: null,
  };
  draft.previous = { epoch, seq, chain };
  draft.checkpointSeq = 0;
  books.store.writeCheckpointJws('');
  books.outbox.note(draft, { kind: 'epoch-started', epoch: id, reason, previous: draft.previous });
}

/** Within a commit: takes out a batch that was never sent, and has its samples stored under the next number. */
export function renumber(
  books: Books,
  draft: Draft,
  position: number,
  store: (samples: EncodedSample[]) => unknown,
): void {
  const found = books.read(position);
  if (found === undefined) return condemn(books, draft, position);
  const { samples } = JSON.parse(decompress(found.compressed).toString()) as TelemetryBatch;
  deliver(books, draft, position, found.row.samples);
  store(samples.map((sample) => ({ json: JSON.stringify(sample), ts: sample.ts })));
}
