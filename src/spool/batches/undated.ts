import type { Books, Draft } from '../state/spool-file.ts';
import { eventBytesReserved, makeRoom, noRoom } from './eviction.ts';
import type { Lanes } from './leases.ts';
import type { SpoolOptions } from '../options.ts';
import { withMember, withoutMember } from '../../base/ranges.ts';
import { sealBytes } from '../../base/cipher.ts';

// Samples that were taken before the clock was known: durable and sealed, in no batch and no chain yet.
// Each function runs within a commit.

/** They make room for themselves as a batch does. Throws SpoolFull where there is none. */
export function hold(
  books: Books,
  draft: Draft,
  payload: Buffer,
  whenFull: SpoolOptions['whenFull'],
  lanes: Lanes,
): void {
  if (!makeRoom(books, draft, payload.length + sealBytes + eventBytesReserved, whenFull, lanes))
    throw noRoom(books);
  books.writeEntry('held', draft.nextEntry, payload);
  draft.held = withMember(draft.held, draft.nextEntry);
  draft.nextEntry += 1;
}

/** Their time came. A damaged row stays, for the reason that departure.ts gives. */
export function letGo(books: Books, draft: Draft, number: number, isSound: boolean): void {
  draft.held = withoutMember(draft.held, number);
  if (isSound) return books.store.deleteEntry(number);
  const loss = { samples: 0, from: null, to: null };
  books.outbox.note(draft, { kind: 'samples-dropped', reason: 'undated samples damaged on disk', ...loss });
}
