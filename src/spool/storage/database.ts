import Database from 'better-sqlite3';
import { MerestoneError } from '../../base/error.ts';
import { asSpoolError } from './disk-error.ts';
import type { SpoolFiles } from './layout.ts';
import { overwrite } from '../../base/overwrite-file.ts';
import { keepPrivate } from '../../base/private-file.ts';
import { syncPath } from '../../base/sync-path.ts';
import { allocate, inodeOf, roomToGrow, sizeOf } from './disk.ts';
import { type Quota, walFrameBytes, walHeaderBytes } from './page-budget.ts';
import { Reserve } from './reserve.ts';
import {
  applicationId,
  type BatchRow,
  type EntryRow,
  isLater,
  type KeyRow,
  type LedgerRow,
  pageBytes,
  tables,
  userVersion,
} from './database-schema.ts';
import { prepareAll, type Statements } from './statements.ts';
import { WriteMeter } from './write-meter.ts';

/** `flushed`: on the medium when it returns. `written`: reaches it with the next flushed commit. */
export type Durability = 'flushed' | 'written';

/** The SQLite file: its settings, its room, its statements, its errors in our words. It knows no keys. */
export class SpoolDatabase {
  readonly files: SpoolFiles;
  readonly #quota: Quota;
  readonly #walBytes: number;
  readonly #reserve: Reserve;
  readonly #meter = new WriteMeter();
  #database: Database.Database;
  #statements: Statements;
  #inode: number | undefined;
  #durability: Durability = 'flushed';
  /** Pages by which the file may still grow, and its pages, as of the last survey. */
  #growth = { pages: 0, from: 0 };
  #isShortOfDisk = false;

  /**
   * Opens the database, or makes it. Throws SpoolDamaged if the file is not a database, SpoolFull and SpoolUnavailable
   * where the disk refuses.
   */
  constructor(files: SpoolFiles, quota: Quota) {
    this.files = files;
    this.#quota = quota;
    this.#walBytes = quota.walPages * walFrameBytes;
    this.#reserve = new Reserve(files.reserve, this.#walBytes);
    [this.#database, this.#statements] = this.#attempt(() => connect(files.database, quota));
    this.#inode = inodeOf(files.database);
  }

  /** All of `work`, or none of it. Throws what `work` throws, and SQLite's errors in our words. */
  commit<T>(work: () => T, durability: Durability = 'flushed'): T {
    return this.#attempt(() => {
      this.#setDurability(durability);
      this.#survey();
      this.#database.exec('BEGIN IMMEDIATE');
      let result: T;
      try {
        result = work();
        this.#database.exec('COMMIT');
      } catch (error) {
        if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
        throw error;
      }
      this.#meter.committed(this.#statements.walFrames.get()!.log);
      this.#checkpointWhenDue();
      return result;
    });
  }

  /** Pages that an INSERT may still use: free ones in the file, and growth up to quota and disk. */
  freePages(): number {
    const pageCount = this.#statements.pageCount.get()!;
    const growth = this.#growth.pages - (pageCount - this.#growth.from);
    return Math.max(0, growth) + this.#statements.freelistCount.get()!;
  }

  /** Whether it is the disk that bounds the file, as of the last commit, and not the quota. */
  isShortOfDisk(): boolean {
    return this.#isShortOfDisk;
  }

  /** Whether another file stands where ours did, or none: ours lives on as long as it is open. */
  isReplaced(): boolean {
    return inodeOf(this.files.database) !== this.#inode;
  }

  /** Writes the whole file again in its place. Throws SpoolUnavailable if another file is there. */
  writeAnew(): void {
    if (inodeOf(this.files.database) !== undefined) {
      throw new MerestoneError('SpoolUnavailable', 'another file was put in the place of the spool in use', {
        subject: this.files.database,
        hint: 'move it away: what was stored here will be written again',
        retryable: true,
      });
    }
    this.#attempt(() => {
      keepPrivate(this.files.database);
      this.#database.exec(`VACUUM INTO '${this.files.database.replaceAll("'", "''")}'`);
      syncPath(this.files.database);
      syncPath(this.files.directory);
      this.#database.close();
      [this.#database, this.#statements] = connect(this.files.database, this.#quota);
      this.#durability = 'flushed';
      this.#inode = inodeOf(this.files.database);
    });
  }

  /** Frees the reserved room; false if none is left. */
  letGoReserve(): boolean {
    return this.#reserve.letGo();
  }

  /** Of all files that are the spool's while it is open. */
  bytes(): number {
    const { wal, reserve } = this.files;
    return this.#statements.pageCount.get()! * pageBytes + sizeOf(wal) + sizeOf(reserve);
  }

  /** In pages of the file that hold nothing. */
  freeBytes(): number {
    return this.#statements.freelistCount.get()! * pageBytes;
  }

  /** What the medium was made to write since this was opened. */
  get bytesWritten(): number {
    return this.#meter.bytesWritten;
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

  keyCopies(): KeyRow[] {
    return this.#read(() => this.#statements.keyCopies.all());
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

  /**
   * Overwrites the WAL, which has what `changeKeys` replaced in its frames. Throws what the disk throws, and then the
   * keys are changed all the same. All frames are in the database first; a crash on the way leaves a WAL without one.
   */
  wipeWal(): void {
    this.#attempt(() => {
      const { log, checkpointed } = this.#statements.checkpointWal.get()!;
      if (log !== checkpointed) throw new Error('the WAL is in use');
      this.#meter.wholePages(() => overwrite(this.files.wal, walHeaderBytes));
      // SQLite must not look for its frames there any more: it takes the database for what it is, or opens it again.
      const { busy } = this.#statements.truncateWal.get()!;
      if (busy !== 0) throw new Database.SqliteError('its WAL was overwritten', 'SQLITE_CORRUPT');
    });
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

  hasBatch(position: number): boolean {
    return this.#read(() => this.#statements.batchTime.get(position)) !== undefined;
  }

  /** Every batch, in publishing order, without what is sealed in it. Nothing may be written meanwhile. */
  *batches(): Generator<{ position: number; samples: number }> {
    try {
      yield* this.#statements.batches.iterate();
    } catch (error) {
      throw asSpoolError(this.files.database, error);
    }
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
    return this.#read(() => this.#statements.checkpoint.get()) || undefined;
  }

  /** Empty where none is of this epoch yet. */
  writeCheckpointJws(jws: string): void {
    this.#statements.writeCheckpoint.run(jws);
  }

  /** What SQLite finds wrong with its own structure; it does not look into sealed bytes. */
  structuralFaults(): string[] {
    const check = (): unknown => this.#database.pragma('integrity_check(20)');
    const beginFirstEpoch = this.#read(check) as { integrity_check: string }[];
    return beginFirstEpoch.map((row) => row.integrity_check).filter((text) => text !== 'ok');
  }

  close(): void {
    this.#reserve.letGo();
    this.#database.close();
  }

  #read<T>(query: () => T): T {
    return this.#attempt(query);
  }

  #setDurability(wanted: Durability): void {
    if (this.#durability === wanted) return;
    this.#database.exec(`PRAGMA synchronous = ${wanted === 'flushed' ? 'FULL' : 'NORMAL'}`);
    this.#durability = wanted;
  }

  /** What room the disk has now, as others use it too. */
  #survey(): void {
    const room = roomToGrow(this.files.directory);
    const inFile = sizeOf(this.files.database) / pageBytes;
    const from = this.#statements.pageCount.get()!;
    const onDisk = Math.floor(room / pageBytes) - Math.max(0, from - inFile);
    const inQuota = this.#quota.filePagesMax - from;
    this.#growth = { from, pages: Math.max(0, Math.min(onDisk, inQuota)) };
    this.#isShortOfDisk = onDisk < inQuota;
    this.#takeRoom(room);
  }

  /** The WAL's blocks are taken once and used again and again: a full disk cannot keep us from writing it. */
  #takeRoom(room: number): void {
    try {
      const missing = this.#walBytes - sizeOf(this.files.wal);
      this.#meter.wholePages(() => {
        if (missing > 0 && room >= missing) allocate(this.files.wal, this.#walBytes);
        this.#reserve.take(room);
      });
    } catch {
      // Another program was quicker; the next commit tries again.
    }
  }

  #checkpointWhenDue(): void {
    const { walFrames, checkpointWal, truncateWal } = this.#statements;
    if (walFrames.get()!.log < this.#quota.walPages / 2) return;
    // One commit may have been larger than all others together; its WAL is not kept.
    const isOversize = sizeOf(this.files.wal) > this.#walBytes + walHeaderBytes;
    try {
      this.#meter.wholePages(() => (isOversize ? truncateWal : checkpointWal).get());
    } catch {
      // The commit stands, in the WAL. With the reserve gone there is room; else the next commit tries again.
      if (this.#reserve.letGo()) this.#checkpointWhenDue();
    }
  }

  #attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw asSpoolError(this.files.database, error);
    }
  }
}

function connect(file: string, quota: Quota): [Database.Database, Statements] {
  keepPrivate(file);
  const database = new Database(file, { timeout: 0 });
  try {
    configure(database, file, quota);
    return [database, prepareAll(database)];
  } catch (error) {
    database.close();
    // Statements that were good when they were written, and a schema that is not what it was.
    const isSchemaDamaged = error instanceof Database.SqliteError && error.code === 'SQLITE_ERROR';
    throw isSchemaDamaged ? new Database.SqliteError(error.message, 'SQLITE_CORRUPT') : error;
  }
}

function configure(database: Database.Database, file: string, quota: Quota): void {
  database.pragma(`page_size = ${pageBytes}`);
  // No -shm file to keep writing to the card, and no other process in the file.
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
  const version = database.pragma('user_version', { simple: true }) as number;
  if (isLater(version)) {
    throw new MerestoneError('SpoolUnavailable', 'a later version of Merestone wrote this spool', {
      subject: file,
      hint: 'install that version again, or move the file away',
    });
  }
  if (version === 0) {
    database.transaction(() => {
      database.exec(tables);
      database.pragma(`application_id = ${applicationId}`);
      database.pragma(`user_version = ${userVersion}`);
    })();
  }
  if (!hasOwnSchema(database)) throw new Database.SqliteError('its tables are not ours', 'SQLITE_CORRUPT');
  database.pragma(`max_page_count = ${quota.filePagesMax}`);
}

/** A trigger, a view, an index or another table could change or refuse what is written, and nothing else would tell. */
function hasOwnSchema(database: Database.Database): boolean {
  const read = (of: Database.Database): string =>
    of
      .prepare<[], string>("SELECT type || ' ' || name || ' ' || sql FROM sqlite_schema ORDER BY name, type")
      .pluck()
      .all()
      .map(withoutComments)
      .join('\n');
  const model = new Database(':memory:');
  try {
    model.exec(tables);
    return read(database) === read(model);
  } finally {
    model.close();
  }
}

function withoutComments(sql: string | null): string {
  return (sql ?? '').replace(/--.*$/gm, '').replace(/\s+/g, ' ');
}
