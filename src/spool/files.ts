import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ulid } from './ulid.ts';

/** What stands in a spool's folder; every path absolute. */
export interface SpoolFiles {
  directory: string;
  /** The batches; with its WAL beside it while it is open, and after a crash. */
  database: string;
  wal: string;
  /** Held while a process has the spool open (lock.ts). */
  lock: string;
  /** How far the spool had come (witness.ts). */
  witness: string;
  /** Room that is let go when the disk is full (reserve.ts). */
  reserve: string;
  /** A folder where a salvage is under way; worth nothing until its database moves up. */
  building: string;
}

export function filesOf(directory: string): SpoolFiles {
  const database = join(directory, 'spool.sqlite');
  return {
    directory,
    database,
    wal: walOf(database),
    lock: join(directory, 'spool.lock'),
    witness: join(directory, 'spool.witness'),
    reserve: join(directory, 'spool.reserve'),
    building: join(directory, 'building'),
  };
}

export function walOf(database: string): string {
  return `${database}-wal`;
}

/** A damaged file that was set aside and not yet salvaged, or that was; nobody ever deletes either. */
const asidePattern = /^spool-(damaged|salvaged)-[0-9A-Z]{26}\.sqlite$/;

export function filesAside(directory: string, state: 'damaged' | 'salvaged'): string[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const chosen = names.filter((name) => asidePattern.exec(name)?.[1] === state);
  return chosen.sort().map((name) => join(directory, name));
}

/**
 * Gives the database a name under which the next opening salvages it; works on an open file too.
 * `wal` is what the WAL was before SQLite saw it, and dropped from it what does not check.
 */
export function setAside(files: SpoolFiles, wallMs: number, wal?: Buffer): string {
  const aside = join(files.directory, `spool-damaged-${ulid(wallMs)}.sqlite`);
  if (wal !== undefined) writeFileSync(walOf(aside), wal, { flush: true, mode: 0o600 });
  renameSync(files.database, aside);
  return aside;
}

/** What was set aside is in the new spool now. */
export function markSalvaged(directory: string): void {
  for (const file of filesAside(directory, 'damaged')) {
    const salvaged = file.replace('spool-damaged-', 'spool-salvaged-');
    if (existsSync(walOf(file))) renameSync(walOf(file), walOf(salvaged));
    renameSync(file, salvaged);
  }
}
