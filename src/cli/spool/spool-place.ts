import { globSync, readdirSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, resolve } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { everyOwnerFolder, ownerFolder, ownerOf } from '../../base/state-folder.ts';
import { silentLogger } from '../../base/logger.ts';
import { loadKeyWrapper } from '../../identity/key-encryption-key.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import type { AuditDetails, AuditKind } from '../../audit/audit-entry.ts';
import { AuditLog } from '../../audit/audit-log.ts';
import {
  OfflineSpool,
  type OfflineSpoolDependencies,
  type OfflineSpoolOptions,
  requireSpool,
} from '../../spool/offline/offline-spool.ts';
import type { KeyWrapper } from '../../spool/sealing/keyring.ts';
import { filesOf } from '../../spool/storage/layout.ts';
import type { Origin } from '../../messages/topic.ts';
import { loadConfig } from '../../config/load-config.ts';
import type { SiloOptions } from '../../silo/options.ts';
import { silosOf } from '../silo-choice.ts';

export interface PlaceArguments {
  folder: string | undefined;
  silo: string | undefined;
  keys?: string | undefined;
}

export const folderOption = {
  type: 'string',
  describe: "a spool's own folder, where it is not one of the configuration's",
} as const;

export const keysOption = {
  type: 'string',
  requiresArg: true,
  describe: 'folder of its key-encryption-key.pem, for a spool folder by itself',
} as const;

export const siloOption = { type: 'string', requiresArg: true, describe: 'only of this silo' } as const;

/** The place of a spool: one per tenant and gateway that a silo has had. */
export interface SpoolPlace extends OfflineSpoolOptions {
  silo: string | undefined;
  /** Folder of its key-encryption key's file, if that is not the spool's. */
  keys?: string;
}

/** For a folder that no configuration names: only `rekey` writes there, and little. */
const bytesMaxUnknown = 512_000_000;

/**
 * The spool in the folder that was named, or all of the configuration's silos.
 * Throws FileNotFound if it does not exist, FileUnreadable if it is another user's, ConfigInvalid, Usage.
 */
export function spoolPlaces(args: PlaceArguments & { config: string }): SpoolPlace[] {
  const places = namedPlaces(args);
  for (const { directory } of places) {
    requireOwner(directory);
    requireSpool(directory);
  }
  return places;
}

function namedPlaces({ folder, silo, keys, config }: PlaceArguments & { config: string }): SpoolPlace[] {
  if (folder !== undefined) {
    const own = { silo, directory: folder, bytesMax: bytesMaxUnknown };
    return [keys === undefined ? (configuredPlace(config, folder) ?? own) : { ...own, keys }];
  }
  const silos = silosOf(config, silo);
  const places = silos.flatMap(placesOf);
  if (places.length > 0) return places;
  // An unreadable folder would look like an empty one.
  for (const { spool } of silos) requireReadable(spool.directory);
  throw new MerestoneError('FileNotFound', 'there is no spool yet', {
    subject: silos.map((each) => each.spool.directory).join(', '),
    hint: 'it is made when the daemon first stores a batch under a valid identity',
  });
}

function placesOf({ name, spool, keyDirectory }: SiloOptions): SpoolPlace[] {
  const files = globSync(filesOf(everyOwnerFolder(spool.directory)).database).sort();
  return files.map(dirname).map((directory) => ({
    silo: name,
    directory,
    bytesMax: spool.bytesMax,
    keys: ownerFolder(keyDirectory, ownerOf(directory)),
  }));
}

/** A named folder may also be one of the configuration's. */
function configuredPlace(config: string, folder: string): SpoolPlace | undefined {
  return tryToRead(config)
    .flatMap(placesOf)
    .find(({ directory }) => directory === resolve(folder));
}

/** For a named folder, the configuration may be elsewhere, faulty or another user's. */
function tryToRead(config: string): readonly SiloOptions[] {
  try {
    const loaded = loadConfig(config);
    return 'faults' in loaded ? [] : loaded.options.silos;
  } catch (error) {
    if (error instanceof MerestoneError) return [];
    throw error;
  }
}

const asUnit =
  "run it as that user; where it is systemd's (merestone.service, merestone-silo@NAME.service), stop the unit and run " +
  'scripts/as-unit UNIT spool … as root (docs/spool.md)';

/** The daemon could not open files that another user, root included, makes in a spool. */
function requireOwner(directory: string): void {
  const owner = statOf(directory)?.uid;
  const own = process.geteuid!();
  if (owner === undefined || owner === own) return;
  const who = own === 0 ? 'root' : `user ${own}`;
  throw new MerestoneError('FileUnreadable', `this spool belongs to user ${owner}, and you are ${who}`, {
    subject: directory,
    hint: asUnit,
  });
}

/** Throws FileUnreadable if this user may not read the folder. */
function requireReadable(directory: string): void {
  try {
    readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') return;
    throw new MerestoneError('FileUnreadable', `you may not look into this folder (${code})`, {
      subject: directory,
      hint: asUnit,
    });
  }
}

/** Undefined if there is none: the caller that needs it reports that itself. */
function statOf(path: string): { uid: number } | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    requireReadable(path);
    return undefined;
  }
}

/** Throws as `OfflineSpool.open` does. `keys` are what opened it. */
export async function openSpool(place: SpoolPlace): Promise<{ spool: OfflineSpool; keys: KeyWrapper }> {
  const dependencies = await dependenciesOf(place);
  return { spool: await OfflineSpool.open(place, dependencies), keys: dependencies.keys };
}

/** Never makes a key: an existing spool was sealed with one. */
async function dependenciesOf({ directory, silo, ...place }: SpoolPlace): Promise<OfflineSpoolDependencies> {
  const keys = await loadKeyWrapper(place.keys ?? directory, {
    ...(silo === undefined ? {} : { silo }),
    ...(place.keys === undefined ? {} : { former: directory }),
    mayMake: false,
  });
  return { keys, clock: systemClock, logger: silentLogger };
}

/** Logs what was done here and by which user; only while the spool is locked. Throws Io, AuditDamaged. */
export function recordAct<Kind extends 'export' | ('shred' & AuditKind)>(
  directory: string,
  { tenant, gateway }: Origin,
  kind: Kind,
  details: Omit<AuditDetails[Kind], 'by'>,
): void {
  const origin = { tenant, gateway };
  const log = AuditLog.open(auditDirectory(directory), { origin, clock: systemClock });
  try {
    log.append(kind, { by: userInfo().username, ...details } as AuditDetails[Kind]);
  } finally {
    log.close();
  }
}
