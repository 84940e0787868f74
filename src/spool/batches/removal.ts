import { MerestoneError } from '../../base/error.ts';
import type { LostRun } from '../../messages/event.ts';
import type { Books, Draft } from '../state/spool-file.ts';
import { epochNumberOf, seqOf } from '../state/position.ts';
import { ascending, countOf, has, withMember, withoutMember } from '../../base/ranges.ts';
import type { BatchRow } from '../storage/database-schema.ts';

/** So many refused batches are kept, the newest; the ledger lists each, and it is for looking into. */
const rejectedMax = 256;
/** More damaged batches than this in one file, and it is the medium: the rest moves to a new file. */
const damagedMax = 256;

// The ways by which a batch stops waiting. There is no other, and all but delivery leave an event behind.
// Each runs within a commit.

/** The broker has it: the row goes. `samples` as they were leased. */
export function deliver(books: Books, draft: Draft, position: number, samples: number): void {
  if (!stopWaiting(draft, position, samples)) return;
  books.store.deleteBatch(position);
}

/** The user's policy gives it up: the row goes, the event says what it was. */
export function drop(books: Books, draft: Draft, row: BatchRow, reason: string): void {
  if (!stopWaiting(draft, row.position, row.samples)) return;
  books.store.deleteBatch(row.position);
  draft.dropped += 1;
  books.outbox.note(draft, { kind: 'dropped', reason, ...runOf(row) });
}

/** The broker will never take it: the row stays, for `spool export`, until room is needed. */
export function reject(books: Books, draft: Draft, row: BatchRow, reason: string): void {
  if (!stopWaiting(draft, row.position, row.samples)) return;
  const oldest = draft.rejected[0]?.[0];
  if (oldest !== undefined && countOf(draft.rejected) >= rejectedMax) {
    if (books.read(oldest) === undefined) condemn(books, draft, oldest);
    else discardRejected(books, draft, oldest);
  }
  draft.rejected = withMember(draft.rejected, row.position);
  draft.quarantined += 1;
  books.outbox.note(draft, { kind: 'quarantined', reason, ...runOf(row) });
}

/** What the broker refused for good waits again, in its old place; how many batches. The way back from `reject`. */
export function reinstateAll(books: Books, draft: Draft): number {
  let batches = 0;
  for (const position of ascending(draft.rejected)) {
    const batch = books.read(position);
    if (batch === undefined) {
      condemn(books, draft, position);
      continue;
    }
    draft.rejected = withoutMember(draft.rejected, position);
    draft.waiting = withMember(draft.waiting, position);
    draft.samplesWaiting += batch.row.samples;
    batches += 1;
  }
  return batches;
}

/** Room is needed: a rejected batch, reported when it was rejected, goes. */
export function discardRejected(books: Books, draft: Draft, position: number): void {
  draft.rejected = withoutMember(draft.rejected, position);
  books.store.deleteBatch(position);
}

/**
 * Its bytes are not what was written, or it is not there though the ledger says so. The row stays: to
 * delete it, SQLite would follow its links, and where those are wrong, free the pages of sound batches.
 */
export function condemn(books: Books, draft: Draft, position: number): void {
  if (countOf(draft.damaged) >= damagedMax) {
    throw new MerestoneError('SpoolDamaged', `more than ${damagedMax} batches are damaged`, {
      subject: books.store.files.database,
      hint: 'check the disk; what is sound is salvaged at the next opening',
      retryable: true,
    });
  }
  if (has(draft.rejected, position)) {
    draft.rejected = withoutMember(draft.rejected, position);
    draft.damaged = withMember(draft.damaged, position);
    return;
  }
  if (!stopWaiting(draft, position, 0)) return;
  draft.damaged = withMember(draft.damaged, position);
  draft.quarantined += 1;
  books.outbox.note(draft, {
    kind: 'quarantined',
    reason: 'damaged on disk',
    ...damagedRun(books, draft, position),
  });
}

function stopWaiting(draft: Draft, position: number, samples: number): boolean {
  if (!has(draft.waiting, position)) return false;
  draft.waiting = withoutMember(draft.waiting, position);
  draft.samplesWaiting = draft.waiting.length === 0 ? 0 : Math.max(0, draft.samplesWaiting - samples);
  return true;
}

function runOf(row: BatchRow): LostRun {
  const seq = seqOf(row.position);
  return {
    epoch: row.epoch,
    seqFrom: seq,
    seqTo: seq,
    batches: 1,
    samples: row.samples,
    from: row.from_ms,
    to: row.to_ms,
    chainBefore: row.chain_before.toString('hex'),
    chainAfter: row.chain_after.toString('hex'),
  };
}

/** What the neighbours tell about a batch that cannot speak for itself. */
function damagedRun(books: Books, draft: Draft, position: number): LostRun {
  const seq = seqOf(position);
  const epoch = draft.epochs.find(({ number }) => number === epochNumberOf(position))!.id;
  const isHead = epoch === draft.head.epoch && seq === draft.head.seq;
  const before = books.read(position - 1)?.row.chain_after.toString('hex');
  const after = isHead ? draft.head.chain : books.read(position + 1)?.row.chain_before.toString('hex');
  return {
    epoch,
    seqFrom: seq,
    seqTo: seq,
    batches: 1,
    samples: 0,
    from: null,
    to: null,
    chainBefore: before ?? null,
    chainAfter: after ?? null,
  };
}
