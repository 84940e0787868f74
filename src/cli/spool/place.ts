import { globSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { silentLogger } from '../../base/logger.ts';
import { loadKeyWrapper } from '../../identity/key-encryption-key.ts';
import { auditDirectory } from '../../silo/audit-segment.ts';
import type { AuditDetails, AuditKind } from '../../silo/audit-entry.ts';
import { AuditLog } from '../../silo/audit.ts';
import type { AtRestDependencies, AtRestOptions } from '../../spool/at-rest.ts';
import { filesOf } from '../../spool/files.ts';
import type { Origin } from '../../stream/topic.ts';
import { silosOf } from '../silo-choice.ts';

export interface PlaceArguments {
  folder: string | undefined;
  silo: string | undefined;
}

export const folderOption = {
  type: 'string',
  describe: "a spool's own folder, where it is not one of the configuration's",
} as const;

export const siloOption = { type: 'string', requiresArg: true, describe: 'only of this silo' } as const;

/** Where a spool stands: one per tenant and gateway that a silo has had. */
export interface SpoolPlace extends AtRestOptions {
  silo: string | undefined;
}

/** For a folder that no configuration names: only a rekey writes, and that little. */
const bytesMaxUnknown = 512_000_000;

/**
 * The spool in the folder that was named, or all of the configuration's silos.
 * Throws FileNotFound where there is none, ConfigInvalid, Usage.
 */
export function spoolPlaces({ folder, silo, config }: PlaceArguments & { config: string }): SpoolPlace[] {
  if (folder !== undefined) return [{ silo, directory: folder, bytesMax: bytesMaxUnknown }];
  const silos = silosOf(config, silo);
  const places = silos.flatMap(({ name, spool: { directory, bytesMax } }) =>
    globSync(filesOf(join(directory, '*', '*')).database)
      .sort()
      .map((file) => ({ silo: name, directory: dirname(file), bytesMax })),
  );
  if (places.length > 0) return places;
  throw new MerestoneError('FileNotFound', 'there is no spool yet', {
    subject: silos.map((each) => each.spool.directory).join(', '),
    hint: 'it is made when the daemon first stores a batch under a valid identity',
  });
}

export async function dependenciesOf({ directory, silo }: SpoolPlace): Promise<AtRestDependencies> {
  const keys = await loadKeyWrapper(directory, silo === undefined ? {} : { silo });
  return { keys, clock: systemClock, logger: silentLogger };
}

/** Notes what was done here and by whom; only while the spool is held. Throws Io, AuditDamaged. */
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
