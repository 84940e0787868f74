import { renameSync } from 'node:fs';
import Database from 'better-sqlite3';
import { keepPrivate } from '../base/private-file.ts';

/*
 * A file beside the state, of which nothing is ever synced: these are large, they are written while others wait,
 * and a power cut may take them as it may take what the state has not synced yet. It may then be damaged, too, and
 * is put away: the state itself is in no danger.
 */
const schema = `
  CREATE TABLE IF NOT EXISTS aside (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, gateway TEXT NOT NULL, at INTEGER NOT NULL,
    reason TEXT, topic TEXT NOT NULL, again INTEGER NOT NULL, properties TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS aside_waiting ON aside (tenant, gateway, id) WHERE reason IS NULL;
  CREATE INDEX IF NOT EXISTS aside_refused ON aside (topic) WHERE reason IS NOT NULL;
`;

export interface ParkedDatabase {
  database: Database.Database;
  /** Where a file went that could not be read. */
  damaged: string | undefined;
}

/** Locked until it is closed. */
export function openParkedDatabase(stateFile: string): ParkedDatabase {
  if (stateFile === ':memory:') return { database: open(stateFile), damaged: undefined };
  const file = `${stateFile}.aside`;
  try {
    return { database: open(file), damaged: undefined };
  } catch (error) {
    if (!(error instanceof Database.SqliteError) || !/^SQLITE_(CORRUPT|NOTADB)/.test(error.code)) throw error;
    const damaged = `${file}.damaged-${Date.now()}`;
    renameSync(file, damaged);
    return { database: open(file), damaged };
  }
}

function open(file: string): Database.Database {
  if (file !== ':memory:') keepPrivate(file);
  const database = new Database(file, { timeout: 1000 });
  try {
    database.pragma('locking_mode = EXCLUSIVE');
    // A log that is written back every few megabytes would hold everybody for it.
    database.pragma('journal_mode = PERSIST');
    database.pragma('synchronous = OFF');
    database.pragma('journal_size_limit = 67108864');
    database.exec(`BEGIN IMMEDIATE; ${schema} COMMIT`);
    const [{ quick_check: verdict }] = database.pragma('quick_check(1)') as [{ quick_check: string }];
    if (verdict !== 'ok') throw new Database.SqliteError(verdict, 'SQLITE_CORRUPT');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
