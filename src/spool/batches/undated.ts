import type { SpoolFile, NextLedger } from '../state/spool-file.ts';
import { eventBytesReserved, makeRoom, noRoom } from './eviction.ts';
import type { Leases } from './leases.ts';
import type { SpoolOptions } from '../options.ts';
import { withMember, withoutMember } from '../../base/ranges.ts';
import { sealBytes } from '../../base/cipher.ts';

// Samples that were taken before the clock was known: durable and sealed, in no batch and no chain yet.
// Each function runs within a commit.

/** Makes room for them as for a batch. Throws SpoolFull if there is none. */
export function hold(
  spoolFile: SpoolFile,
  next: NextLedger,
  payload: Buffer,
  whenFull: SpoolOptions['whenFull'],
  leases: Leases,
): void {
  if (!makeRoom(spoolFile, next, payload.length + sealBytes + eventBytesReserved, whenFull, leases))
    throw noRoom(spoolFile);
  spoolFile.writeEntry('held', next.nextEntry, payload);
  next.held = withMember(next.held, next.nextEntry);
  next.nextEntry += 1;
}

/** Their time came. A damaged row stays, for the reason that removal.ts gives. */
export function letGo(spoolFile: SpoolFile, next: NextLedger, number: number, isSound: boolean): void {
  next.held = withoutMember(next.held, number);
  if (isSound) return spoolFile.database.deleteEntry(number);
  const loss = { samples: 0, from: null, to: null };
  spoolFile.eventQueue.note(next, {
    kind: 'samples-dropped',
    reason: 'undated samples damaged on disk',
    ...loss,
  });
}
