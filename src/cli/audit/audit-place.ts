import { existsSync, globSync } from 'node:fs';
import { dirname } from 'node:path';
import { MerestoneError } from '../../base/error.ts';
import { counterpart, everyOwnerFolder } from '../../base/state-folder.ts';
import { auditHeadPath } from '../../audit/audit-head.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import type { CredentialPlace } from '../../identity/key-encryption-key.ts';
import type { SiloOptions } from '../../silo/options.ts';
import { filesOf } from '../../spool/storage/layout.ts';
import { credentialsOf, silosOf } from '../silo-choice.ts';

export interface PlaceArguments {
  folder: string | undefined;
  silo: string | undefined;
  keys?: string | undefined;
}

/** Where the key-encryption keys are that open its names. */
export interface AuditKeys extends CredentialPlace {
  directory: string;
  former?: string;
}

export const siloOption = { type: 'string', requiresArg: true, describe: 'only of this silo' } as const;

/** A log, and the CAs that its signers must chain to, where they are known. */
export interface AuditPlace {
  silo: string | null;
  directory: string;
  trust: string | null;
  /** A spool is beside it, and each has a log. */
  mustBe: boolean;
  /** Null for a log that has no tenant, or is in a folder by itself. */
  keys: AuditKeys | null;
}

/**
 * The log in the folder that was named, or all of the configuration's silos: one per tenant and gateway that
 * a silo has had, and the one of a silo without an identity. Throws FileNotFound, ConfigInvalid, Usage.
 */
export function auditPlaces({
  folder,
  silo,
  keys,
  config,
}: PlaceArguments & { config: string }): AuditPlace[] {
  if (folder !== undefined) {
    if (!existsSync(folder) && !existsSync(auditHeadPath(folder))) {
      throw new MerestoneError('FileNotFound', 'there is no such folder', { subject: folder });
    }
    const named = keys === undefined ? null : { directory: keys };
    return [{ silo: null, directory: folder, trust: null, mustBe: hasSpool(folder), keys: named }];
  }
  return silosOf(config, silo).flatMap((options) => {
    const { name, identity, spool } = options;
    return [spool.directory, everyOwnerFolder(spool.directory)]
      .flatMap(logsIn)
      .sort()
      .map((directory) => ({
        silo: name,
        directory,
        trust: identity.trust,
        mustBe: hasSpool(directory),
        keys: keysOf(options, directory),
      }));
  });
}

function keysOf(options: SiloOptions, log: string): AuditKeys | null {
  const former = dirname(log);
  const directory = counterpart(former, options.spool.directory, options.keyDirectory);
  if (directory === null) return null;
  return { ...credentialsOf(options), directory, former };
}

/** The existing logs, and missing ones whose head or spool still exists. */
function logsIn(owner: string): string[] {
  const directory = auditDirectory(owner);
  const heads = globSync(auditHeadPath(directory)).map((path) => path.slice(0, -auditHeadPath('').length));
  const besideSpools = globSync(filesOf(owner).database).map((path) => auditDirectory(dirname(path)));
  return [...new Set([...globSync(directory), ...heads, ...besideSpools])];
}

function hasSpool(directory: string): boolean {
  return existsSync(filesOf(dirname(directory)).database);
}
