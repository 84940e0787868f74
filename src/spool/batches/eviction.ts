import { MerestoneError } from '../../base/error.ts';
import type { Books, Draft } from '../state/spool-file.ts';
import { diskFull } from '../storage/disk-error.ts';
import { condemn, discardRejected, drop } from './removal.ts';
import type { Lanes } from './leases.ts';
import type { SpoolOptions } from '../options.ts';
import { pagesFor } from '../storage/page-budget.ts';
import { ascending, has, type Runs } from '../../base/ranges.ts';

/** Room that batches leave to events: a full spool must still be able to say what it drops. */
export const eventBytesReserved = 64_000;

/**
 * Sees that so many bytes fit, within a commit: rejected batches go first, which were reported when they
 * were rejected; then, under drop-oldest, the oldest that wait. False where that is not enough.
 */
export function makeRoom(
  books: Books,
  draft: Draft,
  bytes: number,
  whenFull: SpoolOptions['whenFull'],
  lanes: Lanes,
): boolean {
  const pages = pagesFor(bytes);
  evict(books, draft, pages, ascending(draft.rejected));
  if (whenFull === 'drop-oldest') evict(books, draft, pages, oldestFirst(draft.waiting, lanes));
  return books.store.freePages() >= pages;
}

/** SpoolFull, or DiskFull where others have taken the room that the spool may have. */
export function noRoom(books: Books): MerestoneError {
  if (books.store.isShortOfDisk()) return diskFull(books.store.files.database);
  return new MerestoneError('SpoolFull', 'there is no room, and nothing that may be given up for it', {
    subject: books.store.files.database,
    hint: 'raise spool.bytesMax',
    retryable: true,
  });
}

function evict(books: Books, draft: Draft, pages: number, positions: Iterable<number>): void {
  for (const position of positions) {
    if (books.store.freePages() >= pages) return;
    // Authenticated before it is counted out: the report must be as true as the data was.
    const batch = books.read(position);
    if (batch === undefined) condemn(books, draft, position);
    else if (has(draft.rejected, position)) discardRejected(books, draft, position);
    else drop(books, draft, batch.row, books.store.isShortOfDisk() ? 'disk full' : 'spool full');
  }
}

/** Those in flight only where no other is left. */
function* oldestFirst(waiting: Runs, lanes: Lanes): Generator<number> {
  for (const position of ascending(waiting)) if (!lanes.isLeased(position)) yield position;
  for (const position of ascending(waiting)) if (lanes.isLeased(position)) yield position;
}
