import type Database from 'better-sqlite3';
import type { BatchRow, EntryRow, KeyRow, LedgerRow } from './database-schema.ts';

export type Statements = ReturnType<typeof prepareAll>;

/** Frames in the WAL, and of these in the database. */
interface WalCheckpoint {
  busy: number;
  log: number;
  checkpointed: number;
}

/** Everything that is ever asked of the file. */
export function prepareAll(database: Database.Database) {
  const columns = 'position, epoch, key, samples, from_ms, to_ms, chain_before, chain_after, sealed';
  return {
    pageCount: database.prepare<[], number>('PRAGMA page_count').pluck(),
    freelistCount: database.prepare<[], number>('PRAGMA freelist_count').pluck(),
    walFrames: database.prepare<[], { log: number }>('PRAGMA wal_checkpoint(NOOP)'),
    checkpointWal: database.prepare<[], WalCheckpoint>('PRAGMA wal_checkpoint(PASSIVE)'),
    truncateWal: database.prepare<[], WalCheckpoint>('PRAGMA wal_checkpoint(TRUNCATE)'),
    ledger: database.prepare<[], LedgerRow>('SELECT key, body, seal FROM ledger'),
    writeLedger: database.prepare<[LedgerRow]>('REPLACE INTO ledger VALUES (1, @key, @body, @seal)'),
    keys: database.prepare<[], KeyRow>('SELECT id, kek, jwe, since, first FROM key'),
    keyCopies: database.prepare<[], KeyRow>('SELECT id, kek, jwe, since, first FROM key_copy'),
    writeKey: database.prepare<[KeyRow]>('REPLACE INTO key VALUES (@id, @kek, @jwe, @since, @first)'),
    writeKeyCopy: database.prepare<[KeyRow]>(
      'REPLACE INTO key_copy VALUES (@id, @kek, @jwe, @since, @first)',
    ),
    deleteKey: database.prepare<[number]>('DELETE FROM key WHERE id = ?'),
    deleteKeyCopy: database.prepare<[number]>('DELETE FROM key_copy WHERE id = ?'),
    batch: database.prepare<[number], BatchRow>(`SELECT ${columns} FROM batch WHERE position = ?`),
    batchTime: database.prepare<[number], number>('SELECT from_ms FROM batch WHERE position = ?').pluck(),
    batches: database.prepare<[], { position: number; samples: number }>(
      'SELECT position, samples FROM batch ORDER BY position',
    ),
    batchesAfter: database.prepare<[number, number], BatchRow>(
      `SELECT ${columns} FROM batch WHERE position > ? ORDER BY position LIMIT ?`,
    ),
    writeBatch: database.prepare<[BatchRow]>(
      `INSERT INTO batch (${columns}) VALUES (@position, @epoch, @key, @samples, @from_ms, @to_ms,
        @chain_before, @chain_after, @sealed)`,
    ),
    deleteBatch: database.prepare<[number]>('DELETE FROM batch WHERE position = ?'),
    entry: database.prepare<[number], EntryRow>('SELECT number, key, sealed FROM entry WHERE number = ?'),
    writeEntry: database.prepare<[EntryRow]>('REPLACE INTO entry VALUES (@number, @key, @sealed)'),
    deleteEntry: database.prepare<[number]>('DELETE FROM entry WHERE number = ?'),
    entryKeys: database.prepare<[], number>('SELECT DISTINCT key FROM entry').pluck(),
    checkpoint: database.prepare<[], string>('SELECT jws FROM checkpoint').pluck(),
    writeCheckpoint: database.prepare<[string]>('REPLACE INTO checkpoint VALUES (1, ?)'),
  };
}
