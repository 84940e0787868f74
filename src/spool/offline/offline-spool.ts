import { existsSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import type { Logger } from '../../base/logger.ts';
import type { SpoolFile } from '../state/spool-file.ts';
import { filesOf, type SpoolFiles } from '../storage/layout.ts';
import type { KeyWrapper } from '../sealing/keyring.ts';
import { type Ledger, originOf, readLedger } from '../state/ledger.ts';
import { holdLock } from '../storage/lock.ts';
import { openWhole } from '../recovery/open.ts';
import { quotaOf } from '../storage/page-budget.ts';
import { SpoolDatabase } from '../storage/database.ts';
import { readMark } from '../state/high-water-mark.ts';

export interface AtRestOptions {
  directory: string;
  bytesMax: number;
}

export interface AtRestDependencies {
  keys: KeyWrapper;
  clock: Clock;
  logger: Logger;
}

/**
 * Works on the spool that stands in a folder while no daemon has it, whosever it is: the key that opens it
 * is what proves the right to. Nothing is repaired, set aside or begun. Throws FileNotFound where there is
 * none, SpoolHeld, SpoolDamaged, KeyUnavailable, SpoolUnavailable.
 */
export async function atRest<T>(
  { directory, bytesMax }: AtRestOptions,
  deps: AtRestDependencies,
  work: (spoolFile: SpoolFile) => T | Promise<T>,
): Promise<T> {
  const files = requireSpool(directory);
  const lock = holdLock(directory);
  try {
    const quota = quotaOf(bytesMax);
    const mark = readMark(files.highWaterMark);
    const ofTheirs = { ...deps, origin: originOf(claimIn(files, quota)) };
    const spoolFile = await openWhole({ files, quota, deps: ofTheirs, mark, onDamage: () => {} });
    try {
      return await work(spoolFile);
    } finally {
      spoolFile.close();
    }
  } finally {
    lock.release();
  }
}

/**
 * What a spool says of itself, with no key to prove it; undefined where it is too damaged to say.
 * Throws FileNotFound, SpoolHeld, SpoolUnavailable.
 */
export function claimAtRest({ directory, bytesMax }: AtRestOptions): Ledger | undefined {
  const files = requireSpool(directory);
  const lock = holdLock(directory);
  try {
    return claimIn(files, quotaOf(bytesMax));
  } catch (error) {
    if (error instanceof MerestoneError && error.code === 'SpoolDamaged') return undefined;
    throw error;
  } finally {
    lock.release();
  }
}

/** Throws FileNotFound if there is none. */
export function requireSpool(directory: string): SpoolFiles {
  const files = filesOf(directory);
  if (existsSync(files.database)) return files;
  throw new MerestoneError('FileNotFound', 'there is no spool in this folder', { subject: directory });
}

function claimIn(files: SpoolFiles, quota: ReturnType<typeof quotaOf>): Ledger {
  const database = new SpoolDatabase(files, quota);
  try {
    const row = database.ledger();
    const ledger = row && readLedger(row);
    if (ledger !== undefined) return ledger;
  } finally {
    database.close();
  }
  throw new MerestoneError('SpoolDamaged', 'the spool has no ledger that can be read', {
    subject: files.database,
    hint: 'start the daemon: it salvages what is sound',
  });
}
