import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SpoolKeyPlace } from '../base/key-place.ts';
import { type CredentialPlace, credentialPath } from './key-encryption-key.ts';
import { keyFileIn } from './key-file.ts';

export interface SpoolKeyFolders {
  spool: string;
  keys: string;
}

/** The folders need not be there yet. */
export function spoolKeyPlace({ spool, keys }: SpoolKeyFolders, place: CredentialPlace): SpoolKeyPlace {
  if (existsSync(keyFileIn(spool))) return 'spool-folder';
  if (credentialPath(place) !== undefined) return 'credential';
  return deviceOf(spool) === deviceOf(keys) ? 'same-disk' : 'other-disk';
}

/** Device number of the folder, or of the nearest folder above it that can be read. */
function deviceOf(path: string): number | undefined {
  try {
    return statSync(path).dev;
  } catch {
    return dirname(path) === path ? undefined : deviceOf(dirname(path));
  }
}
