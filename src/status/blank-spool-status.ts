import { goodDisk } from './blank-status.ts';
import type { SpoolStatus } from './status.ts';

/** Of a spool that could not be opened yet. */
export function blankSpoolStatus(epoch: string, bytesMax: number): SpoolStatus {
  return {
    epoch,
    seq: 0,
    batches: 0,
    samples: 0,
    bytes: 0,
    bytesInUse: 0,
    bytesMax,
    oldestAgeMs: null,
    quarantined: 0,
    rejected: 0,
    dropped: 0,
    events: 0,
    bytesWritten: 0,
    disk: goodDisk,
  };
}
