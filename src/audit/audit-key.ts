import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/make-directory.ts';
import { overwrite } from '../base/overwrite-file.ts';
import { syncPath } from '../base/sync-path.ts';
import type { KeyWrapper } from '../identity/key-encryption-key.ts';
import type { Origin } from '../messages/topic.ts';
import { auditIo } from './audit-segment.ts';
import { AuditSeal } from './audit-seal.ts';

const keyName = 'audit-key.json';

/** The log's key, wrapped to a key-encryption key: in its own file, so that it can be rewrapped and destroyed. */
interface WrappedKey {
  kek: string;
  /** A compact JWE. */
  jwe: string;
}

/**
 * The seal of the names in the log in `directory`. A missing key is made; the key is rewrapped if another
 * key-encryption key is now the first. A key that does not open is kept under another name and replaced: a log that
 * goes on is worth more than one that waits for a lost key. Throws Io.
 */
export async function openAuditSeal(directory: string, keys: KeyWrapper, origin: Origin): Promise<AuditSeal> {
  const secret = await unwrapped(directory, keys);
  if (secret !== undefined) return new AuditSeal(secret, origin);
  const minted = randomBytes(32);
  const row = { kek: keys.keyId, jwe: await keys.wrap(minted) };
  attempt(directory, () => {
    makeDirectory(directory);
    const path = keyPath(directory);
    if (existsSync(path)) renameSync(path, `${path}.lost-${Date.now()}`);
    write(directory, row);
  });
  return new AuditSeal(minted, origin);
}

/** The seal for a reader: changes nothing; undefined if there is no key or it does not open. */
export async function readAuditSeal(
  directory: string,
  keys: KeyWrapper,
  origin: Origin,
): Promise<AuditSeal | undefined> {
  const row = readRow(directory);
  const secret = row && (await keys.unwrap(row.jwe).catch(() => undefined));
  return secret && new AuditSeal(secret, origin);
}

/** Rewraps the key of a log to the first key-encryption key, if there is a key and it opens. Throws Io. */
export async function rewrapAuditKey(directory: string, keys: KeyWrapper): Promise<void> {
  await unwrapped(directory, keys);
}

/** Makes the names in the log unreadable for good; the log itself stays whole. Returns the destroyed files. */
export function destroyAuditKey(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.startsWith(keyName));
  const doomed = names.map((name) => join(directory, name));
  for (const file of doomed) {
    overwrite(file);
    rmSync(file);
  }
  if (doomed.length > 0) syncPath(directory);
  return doomed;
}

/** For a log that begins in `to` because the log in `from` is damaged: the writer already uses that key. */
export function copyAuditKey(from: string, to: string): void {
  if (!existsSync(keyPath(from))) return;
  makeDirectory(to);
  copyFileSync(keyPath(from), keyPath(to));
}

async function unwrapped(directory: string, keys: KeyWrapper): Promise<Uint8Array | undefined> {
  wipeFormer(directory);
  const row = readRow(directory);
  const secret = row && (await keys.unwrap(row.jwe).catch(() => undefined));
  if (secret === undefined || row!.kek === keys.keyId) return secret;
  const rewrapped = { kek: keys.keyId, jwe: await keys.wrap(secret) };
  attempt(directory, () => write(directory, rewrapped));
  return secret;
}

function keyPath(directory: string): string {
  return join(directory, keyName);
}

/** The key as it was wrapped before, until it is overwritten. */
function formerPath(directory: string): string {
  return `${keyPath(directory)}.former`;
}

/** Undefined if missing or unreadable as a key. Throws Io. */
function readRow(directory: string): WrappedKey | undefined {
  let text: string;
  try {
    text = readFileSync(keyPath(directory), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw auditIo('cannot be read', keyPath(directory), error);
  }
  try {
    const row = JSON.parse(text) as Partial<WrappedKey> | null;
    return typeof row?.kek === 'string' && typeof row.jwe === 'string' ? (row as WrappedKey) : undefined;
  } catch {
    return undefined;
  }
}

/** Atomic for readers; overwrites the previous wrapping. */
function write(directory: string, { kek, jwe }: WrappedKey): void {
  const path = keyPath(directory);
  const temporary = `${path}.new`;
  writeFileSync(temporary, `${JSON.stringify({ kek, jwe })}\n`, { mode: 0o600, flush: true });
  if (existsSync(path)) linkSync(path, formerPath(directory));
  renameSync(temporary, path);
  syncPath(directory);
  wipeFormer(directory);
}

function wipeFormer(directory: string): void {
  const former = formerPath(directory);
  if (!existsSync(former)) return;
  attempt(directory, () => {
    // After a crash before the rename, the two names are one file.
    if (inodeOf(former) !== inodeOf(keyPath(directory))) overwrite(former);
    rmSync(former);
    syncPath(directory);
  });
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

function attempt(directory: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    throw auditIo('has no key', keyPath(directory), error);
  }
}
