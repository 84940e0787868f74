import { goodDisk, type SpoolStatus } from '../status/status.ts';
import type { SpoolFile } from './state/spool-file.ts';
import type { Dispatch } from './batches/dispatch.ts';
import { countOf } from '../base/ranges.ts';

/** What the status shows of a spool. */
export function figuresOf(
  spoolFile: SpoolFile,
  dispatch: Dispatch,
  bytesMax: number,
  wallMs: number,
): SpoolStatus {
  const { database, ledger } = spoolFile;
  const delivered = dispatch.delivered();
  const { head, waiting, samplesWaiting, events, quarantined, rejected, dropped } = ledger;
  const position = dispatch.oldest();
  const oldest = position === undefined ? undefined : database.batchTime(position);
  return {
    epoch: head.epoch,
    seq: head.seq,
    batches: countOf(waiting) - delivered.batches,
    samples: samplesWaiting - delivered.samples,
    bytes: database.bytes(),
    bytesInUse: database.bytes() - database.freeBytes(),
    bytesMax,
    oldestAgeMs: oldest === undefined ? null : Math.max(0, wallMs - oldest),
    quarantined,
    rejected: countOf(rejected),
    dropped,
    events: countOf(events),
    bytesWritten: database.bytesWritten,
    disk: goodDisk,
  };
}
