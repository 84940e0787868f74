import { join } from 'node:path';
import Database from 'better-sqlite3';
import { MerestoneError } from '../../base/error.ts';
import { makeDirectory } from '../../base/make-directory.ts';
import { keepPrivate } from '../../base/private-file.ts';

/** One process, one spool. The kernel lets go of it when the holder dies, however it dies. */
export interface Lock {
  release(): void;
}

/**
 * Makes `directory` where it is missing and locks it, through an empty database in it: the one lock on
 * files that Node reaches without native code of our own. It is not the spool's own file, which may have
 * to be set aside while we hold it. Throws SpoolHeld, SpoolUnavailable.
 */
export function holdLock(directory: string): Lock {
  let database: Database.Database | undefined;
  try {
    makeDirectory(directory);
    keepPrivate(join(directory, 'spool.lock'));
    database = new Database(join(directory, 'spool.lock'), { timeout: 0 });
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database?.close();
    throw isBusy(cause) ? held(directory, cause) : unavailable(directory, cause);
  }
  const holder = database;
  return { release: () => holder.close() };
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

function held(directory: string, cause: unknown): MerestoneError {
  return new MerestoneError('SpoolHeld', 'another process has this spool open', {
    subject: directory,
    hint: 'stop the daemon, or the command that works on its spool, and try again',
    retryable: true,
    cause,
  });
}

function unavailable(directory: string, cause: unknown): MerestoneError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MerestoneError('SpoolUnavailable', `the spool's folder cannot be used: ${reason}`, {
    subject: directory,
    hint: 'check that the folder exists or can be made, its owner and mode, and the disk under it',
    retryable: true,
    cause,
  });
}
