import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../../base/error.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import { silosOf } from '../silo-choice.ts';

export interface PlaceArguments {
  folder: string | undefined;
  silo: string | undefined;
}

export const siloOption = { type: 'string', requiresArg: true, describe: 'only of this silo' } as const;

/** A log, and the CAs that its signers must chain to, where they are known. */
export interface AuditPlace {
  silo: string | null;
  directory: string;
  trust: string | null;
}

/**
 * The log in the folder that was named, or all of the configuration's silos: one per tenant and gateway that
 * a silo has had, and the one of a silo without an identity. Throws FileNotFound, ConfigInvalid, Usage.
 */
export function auditPlaces({ folder, silo, config }: PlaceArguments & { config: string }): AuditPlace[] {
  if (folder !== undefined) {
    if (existsSync(folder)) return [{ silo: null, directory: folder, trust: null }];
    throw new MerestoneError('FileNotFound', 'there is no such folder', { subject: folder });
  }
  return silosOf(config, silo).flatMap(({ name, identity, spool }) =>
    ['', '*/*']
      .flatMap((owner) => globSync(auditDirectory(join(spool.directory, owner))))
      .sort()
      .map((directory) => ({ silo: name, directory, trust: identity.trust })),
  );
}
