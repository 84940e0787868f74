import Database from 'better-sqlite3';
import { MerestoneError, type ErrorCode } from '../base/error.ts';
import type { Quota } from './quota.ts';
import {
  applicationId,
  type BatchRow,
  type EntryRow,
  formatVersion,
  type KeyRow,
  type LedgerRow,
  pageBytes,
  tables,
} from './schema.ts';

/** A page and its header [SQLite file format, section 4.1]. */
const walFrameBytes = pageBytes + 24;

/** `flushed`: on the medium when it returns. `written`: reaches it with the next flushed commit. */
export type Durability = 'flushed' | 'written';

/** The SQLite file: its settings, its statements, its errors in our words. It knows no keys. */
export class Store {
  readonly file: string;
  readonly #database: Database.Database;
  readonly #statements: ReturnType<typeof prepareAll>;
  readonly #checkpointFrames: number;
  #durability: Durability = 'flushed';

  /** Opens `file`, or makes it. Throws SpoolDamaged where it is no database, SpoolUnavailable on I/O. */
  static open(file: string, quota: Quota): Store {
    return inOurWords(file, () => new Store(file, quota));
  }

  constructor(file: string, quota: Quota) {
    this.file = file;
    this.#database = new Database(file, { timeout: 0 });
    try {
      configure(this.#database, quota);
      this.#statements = prepareAll(this.#database);
    } catch (error) {
      this.#database.close();
      throw error;
    }
    this.#checkpointFrames = Math.floor(quota.walPages / 2);
  }

  /** All of `work`, or none of it. Throws what `work` throws, SQLite's errors as MerestoneErrors. */
  commit<T>(work: () => T, durability: Durability = 'flushed'): T {
    return inOurWords(this.file, () => {
      this.#setDurability(durability);
      this.#database.exec('BEGIN IMMEDIATE');
      let result: T;
      try {
        result = work();
        this.#database.exec('COMMIT');
      } catch (error) {
        if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
        throw error;
      }
      this.#checkpointWhenDue();
      return result;
    });
  }

  /** Pages that an INSERT may still use: free ones in the file, and growth up to the quota. */
  freePages(): number {
    const { pageCount, pageCountMax, freelistCount } = this.#statements;
    return pageCountMax.get()! - pageCount.get()! + freelistCount.get()!;
  }

  /** Of the file and its WAL. */
  bytes(): number {
    const { pageCount, walFrames } = this.#statements;
    return pageCount.get()! * pageBytes + walFrames.get()!.log * walFrameBytes;
  }

  ledger(): LedgerRow | undefined {
    return this.#read(() => this.#statements.ledger.get());
  }

  writeLedger(row: LedgerRow): void {
    this.#statements.writeLedger.run(row);
  }

  keys(): KeyRow[] {
    return this.#read(() => this.#statements.keys.all());
  }

  /** Adds, replaces and deletes wrapped keys, and overwrites what the old ones occupied. */
  changeKeys(write: readonly KeyRow[], remove: readonly number[]): void {
    this.#database.pragma('secure_delete = ON');
    for (const row of write) {
      this.#statements.writeKey.run(row);
      this.#statements.writeKeyCopy.run(row);
    }
    for (const id of remove) {
      this.#statements.deleteKey.run(id);
      this.#statements.deleteKeyCopy.run(id);
    }
    this.#database.pragma('secure_delete = FAST');
  }

  batch(position: number): BatchRow | undefined {
    return this.#read(() => this.#statements.batch.get(position));
  }

  /** The first `count` rows past `position`. */
  batchesAfter(position: number, count: number): BatchRow[] {
    return this.#read(() => this.#statements.batchesAfter.all(position, count));
  }

  /** The time of a batch's first sample, ms since 1970 UTC. */
  batchTime(position: number): number | undefined {
    return this.#read(() => this.#statements.batchTime.get(position));
  }

  writeBatch(row: BatchRow): void {
    this.#statements.writeBatch.run(row);
  }

  deleteBatch(position: number): void {
    this.#statements.deleteBatch.run(position);
  }

  entry(number: number): EntryRow | undefined {
    return this.#read(() => this.#statements.entry.get(number));
  }

  writeEntry(row: EntryRow): void {
    this.#statements.writeEntry.run(row);
  }

  deleteEntry(number: number): void {
    this.#statements.deleteEntry.run(number);
  }

  /** Of the keys that seal entries. */
  entryKeys(): number[] {
    return this.#read(() => this.#statements.entryKeys.all());
  }

  checkpointJws(): string | undefined {
    return this.#read(() => this.#statements.checkpoint.get());
  }

  writeCheckpointJws(jws: string): void {
    this.#statements.writeCheckpoint.run(jws);
  }

  close(): void {
    this.#database.close();
  }

  #read<T>(query: () => T): T {
    return inOurWords(this.file, query);
  }

  #setDurability(wanted: Durability): void {
    if (this.#durability === wanted) return;
    this.#database.exec(`PRAGMA synchronous = ${wanted === 'flushed' ? 'FULL' : 'NORMAL'}`);
    this.#durability = wanted;
  }

  #checkpointWhenDue(): void {
    if (this.#statements.walFrames.get()!.log >= this.#checkpointFrames) this.#statements.checkpointWal.get();
  }
}

function configure(database: Database.Database, quota: Quota): void {
  database.pragma(`page_size = ${pageBytes}`);
  // No -shm file to keep writing to the card, and nobody else in the file.
  database.pragma('locking_mode = EXCLUSIVE');
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.pragma('wal_autocheckpoint = 0');
  // What is deleted was sealed; only wrapped keys are overwritten page by page (changeKeys).
  database.pragma('secure_delete = FAST');
  database.pragma('cell_size_check = ON');
  database.pragma('trusted_schema = OFF');
  database.pragma('temp_store = MEMORY');
  database.pragma('cache_size = -2000');
  if (database.pragma('user_version', { simple: true }) === 0) {
    database.transaction(() => {
      database.exec(tables);
      database.pragma(`application_id = ${applicationId}`);
      database.pragma(`user_version = ${formatVersion}`);
    })();
  }
  database.pragma(`max_page_count = ${quota.filePagesMax}`);
}

function prepareAll(database: Database.Database) {
  const columns = 'position, epoch, key, samples, from_ms, to_ms, chain_before, chain_after, sealed';
  return {
    pageCount: database.prepare<[], number>('PRAGMA page_count').pluck(),
    pageCountMax: database.prepare<[], number>('PRAGMA max_page_count').pluck(),
    freelistCount: database.prepare<[], number>('PRAGMA freelist_count').pluck(),
    walFrames: database.prepare<[], { log: number }>('PRAGMA wal_checkpoint(NOOP)'),
    checkpointWal: database.prepare<[], { log: number }>('PRAGMA wal_checkpoint(PASSIVE)'),
    ledger: database.prepare<[], LedgerRow>('SELECT key, body, seal FROM ledger'),
    writeLedger: database.prepare<[LedgerRow]>('REPLACE INTO ledger VALUES (1, @key, @body, @seal)'),
    keys: database.prepare<[], KeyRow>('SELECT id, kek, jwe, since, first FROM key'),
    writeKey: database.prepare<[KeyRow]>('REPLACE INTO key VALUES (@id, @kek, @jwe, @since, @first)'),
    writeKeyCopy: database.prepare<[KeyRow]>(
      'REPLACE INTO key_copy VALUES (@id, @kek, @jwe, @since, @first)',
    ),
    deleteKey: database.prepare<[number]>('DELETE FROM key WHERE id = ?'),
    deleteKeyCopy: database.prepare<[number]>('DELETE FROM key_copy WHERE id = ?'),
    batch: database.prepare<[number], BatchRow>(`SELECT ${columns} FROM batch WHERE position = ?`),
    batchTime: database.prepare<[number], number>('SELECT from_ms FROM batch WHERE position = ?').pluck(),
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

/** Runs `work`; what SQLite throws comes out as one of ours. */
function inOurWords<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof Database.SqliteError ? translate(file, error) : error;
  }
}

function translate(file: string, cause: InstanceType<typeof Database.SqliteError>): MerestoneError {
  const [code, message, hint] = verdictOn(cause.code);
  return new MerestoneError(code, `${message} (${cause.code}: ${cause.message})`, {
    subject: file,
    hint,
    retryable: code !== 'Internal',
    cause,
  });
}

function verdictOn(code: string): readonly [ErrorCode, message: string, hint: string] {
  const primary = code.split('_').slice(0, 2).join('_');
  switch (primary) {
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
      return ['SpoolDamaged', 'the spool is damaged', 'open it again: what is sound will be salvaged'];
    case 'SQLITE_FULL':
      return ['SpoolFull', 'there is no room to write', 'free space on this disk'];
    case 'SQLITE_CANTOPEN':
    case 'SQLITE_PERM':
    case 'SQLITE_READONLY':
    case 'SQLITE_AUTH':
      return [
        'SpoolUnavailable',
        'the spool cannot be opened for writing',
        'check owner and mode of its folder',
      ];
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return ['SpoolHeld', 'another process has this spool open', 'stop it and try again'];
    case 'SQLITE_IOERR':
      return [
        'SpoolUnavailable',
        'the disk does not read or write',
        'check the disk, its mount and its cable',
      ];
    default:
      return ['Internal', 'SQLite refuses', 'report this with the support bundle'];
  }
}
