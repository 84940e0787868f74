import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sizeOf } from './disk.ts';

/** What stands in a spool's folder; every path absolute. */
export interface SpoolFiles {
  directory: string;
  /** The batches; with its WAL beside it while it is open, and after a crash. */
  database: string;
  wal: string;
  /** Held while a process has the spool open (lock.ts). */
  lock: string;
  /** How far the spool had come (high-water-mark.ts). */
  highWaterMark: string;
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
    highWaterMark: join(directory, 'spool.witness'),
    reserve: join(directory, 'spool.reserve'),
    building: join(directory, 'building'),
  };
}

/** Whether a spool was begun in `directory`; whose it is shows only when it is opened. */
export function hasSpool(directory: string): boolean {
  return sizeOf(filesOf(directory).database) > 0;
}

export function walOf(database: string): string {
  return `${database}-wal`;
}

/** Of the files that hold batches; what was set aside is apart. */
export function spoolBytes(directory: string): number {
  const { database, wal } = filesOf(directory);
  return sizeOf(database) + sizeOf(wal);
}

/** Damaged files that were set aside, the last one last; only the user deletes one. */
export function keptFiles(directory: string): string[] {
  return keptFilesIn(directory).map(({ name }) => join(directory, name));
}

/**
 * Gives the database a name of its own, under which the next opening salvages it; an open one stays open.
 * `wal` is what the WAL was before SQLite saw it, and dropped from it what does not check.
 */
export function setAside(files: SpoolFiles, wal?: Buffer): string {
  const aside = nextKeptName(files);
  if (wal !== undefined) writeFileSync(walOf(aside), wal, { flush: true, mode: 0o600 });
  renameSync(files.database, aside);
  return aside;
}

/** The same for a WAL whose database is gone. */
export function setAsideWal(files: SpoolFiles): string {
  const aside = nextKeptName(files);
  writeFileSync(aside, '', { mode: 0o600 });
  renameSync(files.wal, walOf(aside));
  return aside;
}

function nextKeptName({ directory }: SpoolFiles): string {
  const number = 1 + (keptFilesIn(directory).at(-1)?.number ?? 0);
  return join(directory, `spool-damaged-${number}.sqlite`);
}

function keptFilesIn(directory: string): { name: string; number: number }[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const numbered = names.flatMap((name) => {
    const number = /^spool-damaged-(\d+)\.sqlite$/.exec(name)?.[1];
    return number === undefined ? [] : [{ name, number: Number(number) }];
  });
  return numbered.sort((a, b) => a.number - b.number);
}
