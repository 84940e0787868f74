import { createPrivateKey, generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto';
import { existsSync, linkSync, lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeError, MerestoneError } from '../base/error.ts';
import { makeDirectory } from '../base/make-directory.ts';
import { overwrite } from '../base/overwrite-file.ts';
import { syncDirectory } from '../base/sync-directory.ts';
import { parsePem } from './pem.ts';

/** Of the file that holds a silo's key-encryption keys. */
export function keyFileIn(directory: string): string {
  return join(directory, 'key-encryption-key.pem');
}

/** The keys of the file in `directory`, of its owner alone; none where there is no such file. Throws KeyUnavailable. */
export function readKeyFile(directory: string): KeyObject[] {
  const path = keyFileIn(directory);
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? [] : readPrivateFile(path);
}

/** Makes the file with a new key in it, unless somebody else did so meanwhile. Throws Io. */
export function createKeyFile(directory: string): void {
  publish(directory, [newKey()]);
}

/**
 * Moves the file of `former` into `directory`, so that whoever copies the one folder has not both. `withNewKey`: a
 * new key goes before those that were there, since copies of `former` may be anywhere. The old file goes when its
 * keys are on the medium in the new place, and not before: a crash between leaves it, or what is left of it under
 * another name, to the next call. Throws KeyUnavailable, Io.
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
    syncDirectory(former);
  });
}

/** A file whose keys are in their new place, to be overwritten. */
function leftover(former: string): string {
  return `${keyFileIn(former)}.moved`;
}

/** Ours alone: anyone else who could read or replace it could open the spool. */
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

/** Root reads what the daemon's user has in a folder of his own. */
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

/** By link(2) from a finished file: two that start at once end up with the same key, and a crash with none. */
function publish(directory: string, keys: readonly KeyObject[]): void {
  const path = keyFileIn(directory);
  attempt(path, 'cannot be made', () => {
    const draft = writeDraft(path, keys);
    try {
      linkSync(draft, path);
      syncDirectory(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(draft, { force: true });
    }
  });
}

function replace(directory: string, keys: readonly KeyObject[]): void {
  const path = keyFileIn(directory);
  attempt(path, 'cannot be changed', () => {
    renameSync(writeDraft(path, keys), path);
    syncDirectory(directory);
  });
}

function writeDraft(path: string, keys: readonly KeyObject[]): string {
  const draft = `${path}.${randomUUID()}.new`;
  makeDirectory(dirname(path));
  const pem = keys.map((key) => key.export({ type: 'pkcs8', format: 'pem' })).join('');
  try {
    writeFileSync(draft, pem, { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  return draft;
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
