import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { describeError } from '../../base/error.ts';
import { ownerFolder } from '../../base/state-folder.ts';
import { credentialPath, type KeyWrapper, loadKeyWrapper } from '../../identity/key-encryption-key.ts';
import { spoolKeyPlace } from '../../identity/key-place.ts';
import { moveKeyFile } from '../../identity/key-file.ts';
import { Spool } from '../../spool/spool.ts';
import { FailoverSpool } from '../../spool/failover/failover-spool.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import type { SpoolStatus } from '../../status/status.ts';
import { openAuditSeal } from '../../audit/audit-key.ts';
import type { AuditSeal } from '../../audit/audit-seal.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import { Journal, type JournalDependencies } from './journal.ts';
import type { LossCount } from '../loss-count.ts';
import type { SiloOptions } from '../options.ts';

/**
 * JSON bytes of batches kept in memory while the disk fails: half a minute at 10,000 readings a second, hours of one
 * meter. At most an eighth of the isolate's memory, since compressed and in-flight copies exist beside them.
 */
const memoryBytesMax = 8_000_000;
const memoryShare = 1 / 8;

/** One folder per tenant and gateway: another certificate gets another spool, and the old one stays sealed. */
export function folderOf({ spool }: SiloOptions, origin: OwnedOrigin): string {
  return ownerFolder(spool.directory, origin);
}

/** The key folder of the same tenant and gateway, separate from the spool that the key protects. */
export function keyFolderOf({ keyDirectory }: SiloOptions, origin: OwnedOrigin): string {
  return ownerFolder(keyDirectory, origin);
}

/**
 * The silo's key-encryption keys. A key file in the spool's own folder is moved out of it; if that fails, it is read
 * there. Throws KeyUnavailable, Io.
 */
export function loadSiloKeys(options: SiloOptions, origin: OwnedOrigin, logger: Logger): Promise<KeyWrapper> {
  const former = folderOf(options, origin);
  const directory = keyFolderOf(options, origin);
  const silo = options.name;
  try {
    moveKeyFile(former, directory, credentialPath({ silo }) === undefined);
  } catch (error) {
    logger.warn("spool: its key stays in the spool's own folder", { reason: describeError(error) });
  }
  return loadKeyWrapper(directory, { silo, former });
}

/** The tenant's audit log, its names sealed by a key that the spool's key-encryption key wraps. */
export function openJournal(
  options: SiloOptions,
  origin: OwnedOrigin,
  dependencies: Pick<JournalDependencies, 'clock' | 'logger' | 'note'>,
): Promise<Journal> {
  const owner = folderOf(options, origin);
  const openSeal = async (): Promise<AuditSeal> => {
    const keys = await loadSiloKeys(options, origin, dependencies.logger);
    return openAuditSeal(auditDirectory(owner), keys, origin);
  };
  return Journal.openSealed(owner, { ...dependencies, origin, openSeal });
}

/** Opens the spool. Throws as `Spool.open` and `loadSiloKeys`, except for faults of the disk. */
export function openStorage(
  options: SiloOptions,
  origin: OwnedOrigin,
  { clock, logger, losses }: { clock: Clock; logger: Logger; losses: LossCount },
): Promise<FailoverSpool> {
  const directory = folderOf(options, origin);
  const { bytesMax, whenFull } = options.spool;
  let place: Pick<SpoolStatus, 'key'> = {};
  const open = async (): Promise<Spool> => {
    const keys = await loadSiloKeys(options, origin, logger);
    const folders = { spool: directory, keys: keyFolderOf(options, origin) };
    place = { key: spoolKeyPlace(folders, { silo: options.name }) };
    return Spool.open({ ...options.spool, directory }, { origin, keys, clock, logger });
  };
  const memory = { bytesMax: Math.min(memoryBytesMax, options.memoryMbMax * 1e6 * memoryShare), whenFull };
  const lost = (run: { samples: number; from: number; to: number }): void =>
    losses.add({ reason: 'disk', ...run });
  return FailoverSpool.open({ origin, clock, logger, open, memory, lost, keyPlace: () => place }, bytesMax);
}
