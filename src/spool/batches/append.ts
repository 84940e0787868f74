import { MerestoneError } from '../../base/error.ts';
import { type BatchKey, encodeBatch } from '../../messages/telemetry.ts';
import type { Books, Draft } from '../state/spool-file.ts';
import { eventBytesReserved, makeRoom, noRoom } from './eviction.ts';
import type { Lanes } from './leases.ts';
import { advance, currentEpochNumber } from '../state/ledger.ts';
import type { SpoolOptions } from '../options.ts';
import { positionOf } from '../state/position.ts';
import { withMember } from '../../base/ranges.ts';
import type { BatchRow } from '../storage/database-schema.ts';
import { sealBatch } from '../sealing/sealed-batch.ts';

export interface EncodedSample {
  /** JSON text of one PublishedSample. */
  json: string;
  ts: number;
}

/**
 * Appends one batch to the chain, within a commit: undefined where drop-newest refused it, which is
 * noted. Throws SpoolFull where even an empty spool has no room for it.
 */
export function takeIn(
  books: Books,
  draft: Draft,
  samples: readonly EncodedSample[],
  whenFull: SpoolOptions['whenFull'],
  lanes: Lanes,
): BatchKey | undefined {
  const key: BatchKey = { ...books.origin, epoch: draft.head.epoch, seq: draft.head.seq + 1 };
  const row = makeRow(books, draft, key, samples);
  if (!makeRoom(books, draft, row.sealed.length + eventBytesReserved, whenFull, lanes)) {
    if (whenFull === 'drop-oldest') throw noRoom(books);
    const loss = { samples: row.samples, from: row.from_ms, to: row.to_ms };
    books.outbox.note(draft, {
      kind: 'samples-dropped',
      reason: books.store.isShortOfDisk() ? 'disk full' : 'spool full',
      ...loss,
    });
    return undefined;
  }
  books.store.writeBatch(row);
  draft.head = advance(draft.head, row);
  draft.waiting = withMember(draft.waiting, row.position);
  draft.samplesWaiting += row.samples;
  return key;
}

function makeRow(books: Books, draft: Draft, key: BatchKey, samples: readonly EncodedSample[]): BatchRow {
  if (samples.length === 0) throw new MerestoneError('Internal', 'a batch needs a sample');
  const times = samples.map(({ ts }) => ts);
  const content = {
    position: positionOf(currentEpochNumber(draft), key.seq),
    epoch: key.epoch,
    samples: samples.length,
    from_ms: times.reduce((a, b) => Math.min(a, b)),
    to_ms: times.reduce((a, b) => Math.max(a, b)),
    chain_before: Buffer.from(draft.head.chain, 'hex'),
  };
  const payload = encodeBatch(
    key,
    samples.map(({ json }) => json),
  );
  return sealBatch(books.origin, content, payload, books.keyring.current, books.cipher);
}
