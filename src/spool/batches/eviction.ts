import { MerestoneError } from '../../base/error.ts';
import type { SpoolFile, NextLedger } from '../state/spool-file.ts';
import { diskFull } from '../storage/disk-error.ts';
import { markDamaged, discardRejected, drop } from './removal.ts';
import type { Leases } from './leases.ts';
import type { SpoolOptions } from '../options.ts';
import { pagesFor } from '../storage/page-budget.ts';
import { ascending, has, type Runs } from '../../base/ranges.ts';

/** Room that batches leave to events: a full spool must still be able to say what it drops. */
export const eventBytesReserved = 64_000;

/**
 * Makes room for this many bytes, within a commit. Removes rejected batches first, which were reported when
 * they were rejected; then, under drop-oldest, the oldest that wait. False if that is not enough.
 */
export function makeRoom(
  spoolFile: SpoolFile,
  next: NextLedger,
  bytes: number,
  whenFull: SpoolOptions['whenFull'],
  leases: Leases,
): boolean {
  const pages = pagesFor(bytes);
  evict(spoolFile, next, pages, ascending(next.rejected));
  if (whenFull === 'drop-oldest') evict(spoolFile, next, pages, oldestFirst(next.waiting, leases));
  return spoolFile.database.freePages() >= pages;
}

/** SpoolFull, or DiskFull if other files have taken the room that the spool may have. */
export function noRoom(spoolFile: SpoolFile): MerestoneError {
  if (spoolFile.database.isShortOfDisk()) return diskFull(spoolFile.database.files.database);
  return new MerestoneError('SpoolFull', 'there is no room, and nothing that may be given up for it', {
    subject: spoolFile.database.files.database,
    hint: 'raise spool.bytesMax',
    retryable: true,
  });
}

function evict(spoolFile: SpoolFile, next: NextLedger, pages: number, positions: Iterable<number>): void {
  for (const position of positions) {
    if (spoolFile.database.freePages() >= pages) return;
    // Authenticated before it is counted out: the report must be as true as the data was.
    const batch = spoolFile.read(position);
    if (batch === undefined) markDamaged(spoolFile, next, position);
    else if (has(next.rejected, position)) discardRejected(spoolFile, next, position);
    else drop(spoolFile, next, batch.row, spoolFile.database.isShortOfDisk() ? 'disk full' : 'spool full');
  }
}

/** Takes those in flight only if no other is left. */
function* oldestFirst(waiting: Runs, leases: Leases): Generator<number> {
  for (const position of ascending(waiting)) if (!leases.isLeased(position)) yield position;
  for (const position of ascending(waiting)) if (leases.isLeased(position)) yield position;
}
