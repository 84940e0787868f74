import { createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync, linkSync, lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';
import { describeError, MerestoneError } from '../base/error.ts';
import { makeDirectory } from '../base/make-directory.ts';
import { syncDirectory } from '../base/sync-directory.ts';
import { parsePem } from './pem.ts';

/** Wraps the keys that seal a spool, so that the disk alone opens nothing. */
export interface KeyWrapper {
  /** Of the key that wraps: its RFC 7638 thumbprint. */
  readonly keyId: string;
  /** A compact JWE. */
  wrap(dataKey: Uint8Array): Promise<string>;
  /** Throws KeyUnavailable where it was wrapped to a key that is not here, or was changed since. */
  unwrap(jwe: string): Promise<Uint8Array>;
}

export interface KeyPlace {
  /** The silo's label: a credential of its own goes before one that all silos share. */
  silo?: string;
  /** Where systemd puts a unit's credentials (systemd.exec(5), LoadCredentialEncrypted=). */
  credentialsDirectory?: string | undefined;
  /** False: where there is no key at all, none is made, and the wrapper that comes back opens nothing. */
  mayMake?: boolean;
}

const credentialName = 'merestone-kek';
const fileName = 'key-encryption-key.pem';
const wrapping = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' } as const;

/**
 * The key-encryption keys (EC P-256, PKCS#8 PEM) of a silo: those of its systemd credential, then those of
 * `key-encryption-key.pem` in `directory`. The first one wraps and each unwraps, so a new key is put before
 * the old one, or into a credential, and `spool rekey` moves what was wrapped. Where there is none at all,
 * the file is made, unless `mayMake` is false. Throws KeyUnavailable.
 */
export async function loadKeyWrapper(directory: string, place: KeyPlace = {}): Promise<KeyWrapper> {
  const path = join(directory, fileName);
  const credential = credentialPath(place);
  const held = credential === undefined ? [] : readKeys(credential);
  if (held.length === 0 && !existsSync(path)) {
    if (place.mayMake === false) return lostKey(path);
    createKeyFile(directory, path);
  }
  const kept = held.length === 0 || existsSync(path) ? readPrivateFile(path) : [];
  const [wrappingKey] = [...held, ...kept] as [KeyObject, ...KeyObject[]];
  const keys = new Map<string, KeyObject>();
  for (const key of [...held, ...kept]) keys.set(await thumbprint(key), key);
  const keyId = await thumbprint(wrappingKey);
  const publicKey = createPublicKey(wrappingKey);
  return {
    keyId,
    wrap: (dataKey) =>
      new CompactEncrypt(dataKey).setProtectedHeader({ ...wrapping, kid: keyId }).encrypt(publicKey),
    unwrap: (jwe) => unwrap(jwe, keys, path),
  };
}

/** Of a spool whose key is not here: it says so of whatever is wanted of it. */
function lostKey(path: string): KeyWrapper {
  const refuse = (): Promise<never> =>
    Promise.reject(unavailable(path, 'the key-encryption key is not here'));
  return { keyId: 'none', wrap: refuse, unwrap: refuse };
}

function credentialPath(place: KeyPlace): string | undefined {
  const folder =
    'credentialsDirectory' in place ? place.credentialsDirectory : process.env['CREDENTIALS_DIRECTORY'];
  if (folder === undefined || folder === '') return undefined;
  const names =
    place.silo === undefined ? [credentialName] : [`${credentialName}-${place.silo}`, credentialName];
  return names.map((name) => join(folder, name)).find((path) => existsSync(path));
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

/** Ours alone: anyone else who could read or replace it could open the spool. */
function readPrivateFile(path: string): KeyObject[] {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile()) throw unavailable(path, 'this is not a regular file');
  if (stats.uid !== process.geteuid!()) throw unavailable(path, 'the file belongs to another user');
  const mode = stats.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw unavailable(path, `others may open the file (mode ${mode.toString(8).padStart(4, '0')}, not 0600)`);
  }
  return readKeys(path);
}

/** At least one. */
function readKeys(path: string): KeyObject[] {
  let keys: KeyObject[];
  try {
    keys = parsePem(readFileSync(path), path)
      .filter(({ label }) => label === 'PRIVATE KEY')
      .map(({ der }) => requireP256(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })));
  } catch (error) {
    throw unavailable(path, `the key-encryption key cannot be read (${describeError(error)})`, error);
  }
  if (keys.length === 0) throw unavailable(path, 'the file holds no private key in PEM');
  return keys;
}

function requireP256(key: KeyObject): KeyObject {
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw new Error('it is not on the curve P-256');
}

/** By link(2) from a finished file: two that start at once end up with the same key, and a crash with none. */
function createKeyFile(directory: string, path: string): void {
  const draft = `${path}.${randomUUID()}.new`;
  try {
    makeDirectory(directory);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(draft, pem, { mode: 0o600, flag: 'wx', flush: true });
    linkSync(draft, path);
    syncDirectory(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new MerestoneError('Io', `the key-encryption key cannot be made (${describeError(error)})`, {
        subject: path,
        hint: 'check the disk and who may write there',
        retryable: true,
        cause: error,
      });
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

async function thumbprint(key: KeyObject): Promise<string> {
  return calculateJwkThumbprint(createPublicKey(key));
}

function unavailable(path: string, message: string, cause?: unknown): MerestoneError {
  return new MerestoneError('KeyUnavailable', message, {
    subject: path,
    hint: 'restore the key (docs/identity.md); without it what the spool holds cannot be opened',
    ...(cause === undefined ? {} : { cause }),
  });
}
