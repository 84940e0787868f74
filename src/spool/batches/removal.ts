import { MerestoneError } from '../../base/error.ts';
import type { LostRun } from '../../messages/event.ts';
import type { SpoolFile, NextLedger } from '../state/spool-file.ts';
import { epochNumberOf, seqOf } from '../state/position.ts';
import { ascending, countOf, has, withMember, withoutMember } from '../../base/ranges.ts';
import type { BatchRow } from '../storage/database-schema.ts';

/** The newest refused batches are kept for diagnosis, this many; the ledger lists each. */
const rejectedMax = 256;
/** More damaged batches than this in one file, and it is the medium: the rest moves to a new file. */
const damagedMax = 256;

// The ways by which a batch stops waiting. There is no other, and all but delivery leave an event behind.
// Each runs within a commit.

/** The broker has it: the row goes. `samples` as they were leased. */
export function deliver(spoolFile: SpoolFile, next: NextLedger, position: number, samples: number): void {
  if (!stopWaiting(next, position, samples)) return;
  spoolFile.database.deleteBatch(position);
}

/** The user's policy gives it up: the row goes, the event says what it was. */
export function drop(spoolFile: SpoolFile, next: NextLedger, row: BatchRow, reason: string): void {
  if (!stopWaiting(next, row.position, row.samples)) return;
  spoolFile.database.deleteBatch(row.position);
  next.dropped += 1;
  spoolFile.eventQueue.note(next, { kind: 'dropped', reason, ...runOf(row) });
}

/** The broker will never take it: the row stays, for `spool export`, until room is needed. */
export function reject(spoolFile: SpoolFile, next: NextLedger, row: BatchRow, reason: string): void {
  if (!stopWaiting(next, row.position, row.samples)) return;
  const oldest = next.rejected[0]?.[0];
  if (oldest !== undefined && countOf(next.rejected) >= rejectedMax) {
    if (spoolFile.read(oldest) === undefined) markDamaged(spoolFile, next, oldest);
    else discardRejected(spoolFile, next, oldest);
  }
  next.rejected = withMember(next.rejected, row.position);
  next.quarantined += 1;
  spoolFile.eventQueue.note(next, { kind: 'quarantined', reason, ...runOf(row) });
}

/** What the broker refused for good waits again, in its old place; how many batches. The way back from `reject`. */
export function reinstateAll(spoolFile: SpoolFile, next: NextLedger): number {
  let batches = 0;
  for (const position of ascending(next.rejected)) {
    const batch = spoolFile.read(position);
    if (batch === undefined) {
      markDamaged(spoolFile, next, position);
      continue;
    }
    next.rejected = withoutMember(next.rejected, position);
    next.waiting = withMember(next.waiting, position);
    next.samplesWaiting += batch.row.samples;
    batches += 1;
  }
  return batches;
}

/** Room is needed: a rejected batch, reported when it was rejected, goes. */
export function discardRejected(spoolFile: SpoolFile, next: NextLedger, position: number): void {
  next.rejected = withoutMember(next.rejected, position);
  spoolFile.database.deleteBatch(position);
}

/**
 * Its bytes are not what was written, or it is not there though the ledger says so. The row stays: to
 * delete it, SQLite would follow its links, and where those are wrong, free the pages of sound batches.
 */
export function markDamaged(spoolFile: SpoolFile, next: NextLedger, position: number): void {
  if (countOf(next.damaged) >= damagedMax) {
    throw new MerestoneError('SpoolDamaged', `more than ${damagedMax} batches are damaged`, {
      subject: spoolFile.database.files.database,
      hint: 'check the disk; what is sound is salvaged at the next opening',
      retryable: true,
    });
  }
  if (has(next.rejected, position)) {
    next.rejected = withoutMember(next.rejected, position);
    next.damaged = withMember(next.damaged, position);
    return;
  }
  if (!stopWaiting(next, position, 0)) return;
  next.damaged = withMember(next.damaged, position);
  next.quarantined += 1;
  spoolFile.eventQueue.note(next, {
    kind: 'quarantined',
    reason: 'damaged on disk',
    ...damagedRun(spoolFile, next, position),
  });
}

function stopWaiting(next: NextLedger, position: number, samples: number): boolean {
  if (!has(next.waiting, position)) return false;
  next.waiting = withoutMember(next.waiting, position);
  next.samplesWaiting = next.waiting.length === 0 ? 0 : Math.max(0, next.samplesWaiting - samples);
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
function damagedRun(spoolFile: SpoolFile, next: NextLedger, position: number): LostRun {
  const seq = seqOf(position);
  const epoch = next.epochs.find(({ number }) => number === epochNumberOf(position))!.id;
  const isHead = epoch === next.head.epoch && seq === next.head.seq;
  const before = spoolFile.read(position - 1)?.row.chain_after.toString('hex');
  const after = isHead ? next.head.chain : spoolFile.read(position + 1)?.row.chain_before.toString('hex');
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
