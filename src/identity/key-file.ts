import { createPrivateKey, generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto';
import { existsSync, linkSync, lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeError, MerestoneError } from '../base/error.ts';
import { makeDirectory } from '../base/make-directory.ts';
import { overwrite } from '../base/overwrite-file.ts';
import { syncPath } from '../base/sync-path.ts';
import { parsePem } from './pem.ts';

/** Path of the file with a silo's key-encryption keys. */
export function keyFileIn(directory: string): string {
  return join(directory, 'key-encryption-key.pem');
}

/** The keys of the file in `directory`, which must be its owner's alone; empty if missing. Throws KeyUnavailable. */
export function readKeyFile(directory: string): KeyObject[] {
  const path = keyFileIn(directory);
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? [] : readPrivateFile(path);
}

/** Makes the file with a new key in it, unless another process made it meanwhile. Throws Io. */
export function createKeyFile(directory: string): void {
  publish(directory, [newKey()]);
}

/**
 * Moves the file of `former` into `directory`, so that a copy of one folder does not contain both spool and key.
 * `withNewKey`: a new key is put before the old ones, since copies of `former` may exist anywhere. The old file is
 * overwritten only once its keys are on the medium in the new place: after a crash in between, the next call finds
 * it, possibly under another name, and finishes. Throws KeyUnavailable, Io.
 */
export function moveKeyFile(former: string, directory: string, withNewKey: boolean): void {
  const path = keyFileIn(former);
  if (path === keyFileIn(directory)) return;
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    const moving = readPrivateFile(path);
    if (readKeyFile(directory).length === 0)
      publish(directory, [...(withNewKey ? [newKey()] : []), ...moving]);
    const there = readKeyFile(directory);
    const missing = moving.filter((key) => !there.some((each) => each.equals(key)));
    if (missing.length > 0) replace(directory, [...there, ...missing]);
    attempt(path, 'cannot be taken away', () => renameSync(path, leftover(former)));
  }
  if (!existsSync(leftover(former))) return;
  attempt(leftover(former), 'cannot be overwritten', () => {
    overwrite(leftover(former));
    rmSync(leftover(former));
    syncPath(former);
  });
}

/** Path of an old file whose keys are in their new place: it is to be overwritten. */
function leftover(former: string): string {
  return `${keyFileIn(former)}.moved`;
}

/** Refuses a file that another user can read or replace: that user could open the spool. */
function readPrivateFile(path: string): KeyObject[] {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile()) throw unavailable(path, 'this is not a regular file');
  if (!isOwners(path, stats.uid)) throw unavailable(path, 'the file belongs to another user');
  const mode = stats.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw unavailable(path, `others may open the file (mode ${mode.toString(8).padStart(4, '0')}, not 0600)`);
  }
  return readKeys(path);
}

/** Root may also read a file of the daemon's user in that user's own folder. */
function isOwners(path: string, uid: number): boolean {
  const own = process.geteuid!();
  return uid === own || (own === 0 && lstatSync(dirname(path)).uid === uid);
}

/** At least one. Throws KeyUnavailable. */
export function readKeys(path: string): KeyObject[] {
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

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** Links a finished file (link(2)): two processes that start at once get the same key, and a crash leaves no file. */
function publish(directory: string, keys: readonly KeyObject[]): void {
  const path = keyFileIn(directory);
  attempt(path, 'cannot be made', () => {
    const temporary = writeTemporary(path, keys);
    try {
      linkSync(temporary, path);
      syncPath(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  });
}

function replace(directory: string, keys: readonly KeyObject[]): void {
  const path = keyFileIn(directory);
  attempt(path, 'cannot be changed', () => {
    renameSync(writeTemporary(path, keys), path);
    syncPath(directory);
  });
}

function writeTemporary(path: string, keys: readonly KeyObject[]): string {
  const temporary = `${path}.${randomUUID()}.new`;
  makeDirectory(dirname(path));
  const pem = keys.map((key) => key.export({ type: 'pkcs8', format: 'pem' })).join('');
  try {
    writeFileSync(temporary, pem, { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  return temporary;
}

function attempt(path: string, what: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (error instanceof MerestoneError) throw error;
    throw new MerestoneError('Io', `the key-encryption key ${what} (${describeError(error)})`, {
      subject: path,
      hint: 'check the disk and who may write there',
      retryable: true,
      cause: error,
    });
  }
}

export function unavailable(path: string, message: string, cause?: unknown): MerestoneError {
  return new MerestoneError('KeyUnavailable', message, {
    subject: path,
    hint: 'restore the key (docs/identity.md); without it what the spool holds cannot be opened',
    ...(cause === undefined ? {} : { cause }),
  });
}
