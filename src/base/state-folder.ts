import path from 'node:path';

/**
 * Where the parts of a gateway's state are. Common to all silos:
 *
 *     <stateDir>/silos/<silo>/<tenant>/<gateway>/        a spool (spool/storage/layout.ts)
 *     <stateDir>/silos/<silo>/<tenant>/<gateway>/audit/  its audit log (audit/audit-segment.ts)
 *     <stateDir>/silos/<silo>/audit/                     the log of a silo without an identity
 *     <stateDir>/keys/<silo>/<tenant>/<gateway>/         its key-encryption key (identity/key-file.ts)
 *
 * A silo with a `stateDir` of its own has its spools there, and its keys in `.keys` below: no tenant's name has a dot.
 */
interface Owner {
  tenant: string;
  gateway: string;
}

/** Where a silo keeps its spools, and where their keys; both absolute. */
export interface SiloFolders {
  spools: string;
  keys: string;
}

export function siloFoldersIn(stateDir: string, silo: string): SiloFolders {
  return { spools: path.join(stateDir, 'silos', silo), keys: path.join(stateDir, 'keys', silo) };
}

export function ownSiloFolders(stateDir: string): SiloFolders {
  return { spools: stateDir, keys: path.join(stateDir, '.keys') };
}

/** One per tenant and gateway, below a silo's folder of spools or of keys. */
export function ownerFolder(folder: string, { tenant, gateway }: Owner): string {
  return path.join(folder, tenant, gateway);
}

/** Matches the folder of every owner that a silo has had. */
export function everyOwnerFolder(folder: string): string {
  return ownerFolder(folder, { tenant: '*', gateway: '*' });
}

/** Whose folder this is, by its place. */
export function ownerOf(folder: string): Owner {
  const absolute = path.resolve(folder);
  return { tenant: path.basename(path.dirname(absolute)), gateway: path.basename(absolute) };
}

/** The folder of the same owner below another of the silo's folders; null for the silo's own. */
export function counterpart(folder: string, from: string, to: string): string | null {
  const owner = path.relative(from, folder);
  return owner === '' ? null : path.join(to, owner);
}
