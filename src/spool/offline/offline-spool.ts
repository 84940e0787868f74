import { existsSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import type { Logger } from '../../base/logger.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import { rekey } from '../key-change.ts';
import type { SpoolFile } from '../state/spool-file.ts';
import { filesOf, type SpoolFiles } from '../storage/layout.ts';
import type { KeyWrapper } from '../sealing/keyring.ts';
import { type Ledger, originOf, readLedger } from '../state/ledger.ts';
import { holdLock, type Lock } from '../storage/lock.ts';
import { openWhole } from '../recovery/open.ts';
import { quotaOf } from '../storage/page-budget.ts';
import { SpoolDatabase } from '../storage/database.ts';
import { readMark } from '../state/high-water-mark.ts';
import { type ExportedRun, exportedRuns, payloads } from './batch-export.ts';
import { type SpoolVerificationResult, verify } from './spool-verification.ts';

export interface OfflineSpoolOptions {
  directory: string;
  bytesMax: number;
}

export interface OfflineSpoolDependencies {
  keys: KeyWrapper;
  clock: Clock;
  logger: Logger;
}

/**
 * The spool in a folder while no daemon has it, whose tenant's it may be: the key that opens it is what proves the
 * right to. It holds the spool's lock until it is closed. Nothing is repaired, set aside or begun.
 */
export class OfflineSpool implements Disposable {
  readonly #file: SpoolFile;
  readonly #lock: Lock;

  private constructor(file: SpoolFile, lock: Lock) {
    this.#file = file;
    this.#lock = lock;
  }

  /** Throws FileNotFound where there is none, SpoolHeld, SpoolDamaged, KeyUnavailable, SpoolUnavailable. */
  static async open(
    { directory, bytesMax }: OfflineSpoolOptions,
    dependencies: OfflineSpoolDependencies,
  ): Promise<OfflineSpool> {
    const files = requireSpool(directory);
    const lock = holdLock(directory);
    try {
      const quota = quotaOf(bytesMax);
      const mark = readMark(files.highWaterMark);
      const deps = { ...dependencies, origin: originOf(claimIn(files, quota)) };
      const file = await openWhole({ files, quota, deps, mark, onDamage: () => {} });
      return new OfflineSpool(file, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * What a spool says of itself, with no key to prove it; undefined where it is too damaged to say.
   * Throws FileNotFound, SpoolHeld, SpoolUnavailable.
   */
  static claim({ directory, bytesMax }: OfflineSpoolOptions): Ledger | undefined {
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

  get origin(): OwnedOrigin {
    return this.#file.origin;
  }

  get ledger(): Ledger {
    return this.#file.ledger;
  }

  /** Opens every seal and walks the chain. */
  verify(): SpoolVerificationResult {
    return verify(this.#file);
  }

  /** What `payloads` gives, by epoch. */
  exportedRuns(): ExportedRun[] {
    return exportedRuns(this.#file);
  }

  /** All sound batches, oldest first: those that wait and those refused. */
  payloads(): Generator<Buffer> {
    return payloads(this.#file);
  }

  /** Wraps all data keys to the first key-encryption key. Resolves with how many there are. */
  async rekey(keys: KeyWrapper): Promise<number> {
    await rekey(this.#file, keys);
    return this.#file.keyring.all.length;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#file.close();
    this.#lock.release();
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
