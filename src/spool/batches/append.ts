import { MerestoneError } from '../../base/error.ts';
import { type BatchKey, encodeBatch } from '../../messages/telemetry.ts';
import type { SpoolFile, NextLedger } from '../state/spool-file.ts';
import { eventBytesReserved, makeRoom, noRoom } from './eviction.ts';
import type { Leases } from './leases.ts';
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
  spoolFile: SpoolFile,
  next: NextLedger,
  samples: readonly EncodedSample[],
  whenFull: SpoolOptions['whenFull'],
  leases: Leases,
): BatchKey | undefined {
  const key: BatchKey = { ...spoolFile.origin, epoch: next.head.epoch, seq: next.head.seq + 1 };
  const row = makeRow(spoolFile, next, key, samples);
  if (!makeRoom(spoolFile, next, row.sealed.length + eventBytesReserved, whenFull, leases)) {
    if (whenFull === 'drop-oldest') throw noRoom(spoolFile);
    const loss = { samples: row.samples, from: row.from_ms, to: row.to_ms };
    spoolFile.eventQueue.note(next, {
      kind: 'samples-dropped',
      reason: spoolFile.database.isShortOfDisk() ? 'disk full' : 'spool full',
      ...loss,
    });
    return undefined;
  }
  spoolFile.database.writeBatch(row);
  next.head = advance(next.head, row);
  next.waiting = withMember(next.waiting, row.position);
  next.samplesWaiting += row.samples;
  return key;
}

function makeRow(
  spoolFile: SpoolFile,
  next: NextLedger,
  key: BatchKey,
  samples: readonly EncodedSample[],
): BatchRow {
  if (samples.length === 0) throw new MerestoneError('Internal', 'a batch needs a sample');
  const times = samples.map(({ ts }) => ts);
  const content = {
    position: positionOf(currentEpochNumber(next), key.seq),
    epoch: key.epoch,
    samples: samples.length,
    from_ms: times.reduce((a, b) => Math.min(a, b)),
    to_ms: times.reduce((a, b) => Math.max(a, b)),
    chain_before: Buffer.from(next.head.chain, 'hex'),
  };
  const payload = encodeBatch(
    key,
    samples.map(({ json }) => json),
  );
  return sealBatch(spoolFile.origin, content, payload, spoolFile.keyring.current, spoolFile.cipher);
}
