import { createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';
import type { MerestoneError } from '../base/error.ts';
import { createKeyFile, keyFileIn, readKeyFile, readKeys, unavailable } from './key-file.ts';

/** Wraps the keys that seal a spool, so that the spool's folder alone cannot be opened. */
export interface KeyWrapper {
  /** RFC 7638 thumbprint of the key that wraps. */
  readonly keyId: string;
  /** A compact JWE. */
  wrap(dataKey: Uint8Array): Promise<string>;
  /** Throws KeyUnavailable if it was wrapped to a key that is missing here, or was changed since. */
  unwrap(jwe: string): Promise<Uint8Array>;
}

export interface CredentialPlace {
  /** The silo's label: the silo's own credential precedes one that all silos share. */
  silo?: string;
  /** Where systemd puts a unit's credentials (systemd.exec(5), LoadCredentialEncrypted=). */
  credentialsDirectory?: string | undefined;
}

export interface KeyPlace extends CredentialPlace {
  /** The key file's former folder: that of the spool. */
  former?: string;
  /** False: if there is no key at all, none is made, and the returned wrapper opens nothing. */
  mayMake?: boolean;
}

const credentialName = 'merestone-kek';
const wrapping = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' } as const;

/**
 * The key-encryption keys (EC P-256, PKCS#8 PEM) of a silo: those of its systemd credential, then those of
 * `key-encryption-key.pem` in `directory`, then in `former`. The first key wraps and every key unwraps, so a new key
 * is put before the old one, or into a credential. If there is no key at all, the file is made, unless `mayMake` is
 * false. Throws KeyUnavailable, Io.
 */
export async function loadKeyWrapper(directory: string, place: KeyPlace = {}): Promise<KeyWrapper> {
  const path = keyFileIn(directory);
  const credential = credentialPath(place);
  const read = (): KeyObject[] => [
    ...(credential === undefined ? [] : readKeys(credential)),
    ...[directory, place.former].flatMap((each) => (each === undefined ? [] : readKeyFile(each))),
  ];
  let found = read();
  if (found.length === 0) {
    if (place.mayMake === false) return lostKey(path);
    createKeyFile(directory);
    found = read();
  }
  const keys = new Map<string, KeyObject>();
  for (const key of found) keys.set(await thumbprint(key), key);
  const keyId = await thumbprint(found[0]!);
  const publicKey = createPublicKey(found[0]!);
  return {
    keyId,
    wrap: (dataKey) =>
      new CompactEncrypt(dataKey).setProtectedHeader({ ...wrapping, kid: keyId }).encrypt(publicKey),
    unwrap: (jwe) => unwrap(jwe, keys, path),
  };
}

/** The file of the silo's credential; undefined if systemd provides none. */
export function credentialPath(place: CredentialPlace): string | undefined {
  const folder =
    'credentialsDirectory' in place ? place.credentialsDirectory : process.env['CREDENTIALS_DIRECTORY'];
  if (folder === undefined || folder === '') return undefined;
  const names =
    place.silo === undefined ? [credentialName] : [`${credentialName}-${place.silo}`, credentialName];
  return names.map((name) => join(folder, name)).find((path) => existsSync(path));
}

/** The wrapper of a spool whose key is missing: every call throws KeyUnavailable. */
function lostKey(path: string): KeyWrapper {
  const fault = (): MerestoneError => unavailable(path, 'the key-encryption key is not here');
  const refuse = (): Promise<never> => Promise.reject(fault());
  return { keyId: 'none', wrap: refuse, unwrap: refuse };
}

async function unwrap(jwe: string, keys: ReadonlyMap<string, KeyObject>, path: string): Promise<Uint8Array> {
  let kid: string | undefined;
  try {
    ({ kid } = decodeProtectedHeader(jwe));
    const key = keys.get(kid ?? '');
    if (key !== undefined) {
      const { plaintext } = await compactDecrypt(jwe, key, {
        keyManagementAlgorithms: [wrapping.alg],
        contentEncryptionAlgorithms: [wrapping.enc],
      });
      return plaintext;
    }
  } catch (error) {
    throw unavailable(path, 'a wrapped data key is damaged', error);
  }
  throw unavailable(path, `a data key was wrapped to key ${kid ?? 'unnamed'}, which is not here`);
}

async function thumbprint(key: KeyObject): Promise<string> {
  return calculateJwkThumbprint(createPublicKey(key));
}
