import { existsSync } from 'node:fs';
import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A program that has a device open. */
export interface Holder {
  pid: number;
  command: string;
}

/**
 * Finds the process that blocks the device at `path`: the one with a lock on it, else one that has it open,
 * as far as /proc shows it to this user; null if it shows none. Only called after a refused open, because it
 * may walk through every process.
 */
export async function findHolder(path: string, procRoot = '/proc'): Promise<Holder | null> {
  const device = await realpath(path).catch(() => path);
  const locker = await findLocker(device, procRoot);
  // A lock outlives the process that took it if its children inherited it: flock(1) works like that.
  const isThere = locker !== null && existsSync(join(procRoot, String(locker)));
  return holderOf(isThere ? locker : ((await findOpener(device, procRoot)) ?? locker), procRoot);
}

/**
 * Finds another process that has the device at `path` open beside this one, with or without a lock: each takes bytes
 * that are meant for the other. Called as rarely as `findHolder`.
 */
export async function findSharer(path: string, procRoot = '/proc'): Promise<Holder | null> {
  const device = await realpath(path).catch(() => path);
  return holderOf(await findOpener(device, procRoot), procRoot);
}

async function holderOf(pid: number | null, procRoot: string): Promise<Holder | null> {
  if (pid === null) return null;
  const command = await readFile(join(procRoot, String(pid), 'comm'), 'utf8').catch(() => '?');
  return { pid, command: command.trim() };
}

/** proc_locks(5): `1: FLOCK ADVISORY WRITE 4711 00:18:5 0 EOF`, device numbers in hex, then the inode. */
async function findLocker(device: string, procRoot: string): Promise<number | null> {
  const file = await stat(device, { bigint: true }).catch(() => null);
  const locks = await readFile(join(procRoot, 'locks'), 'utf8').catch(() => '');
  if (file === null) return null;
  const [major, minor] = [(file.dev >> 8n) & 0xfffn, (file.dev & 0xffn) | ((file.dev >> 12n) & 0xfff00n)];
  const hex = (part: bigint): string => part.toString(16).padStart(2, '0');
  const place = `${hex(major)}:${hex(minor)}:${file.ino}`;
  for (const line of locks.split('\n')) {
    const [, , , , pid, where] = line.split(/\s+/);
    if (where === place && Number(pid) > 0 && Number(pid) !== process.pid) return Number(pid);
  }
  return null;
}

async function findOpener(device: string, procRoot: string): Promise<number | null> {
  const entries = await readdir(procRoot).catch(() => []);
  for (const entry of entries) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const folder = join(procRoot, entry, 'fd');
    const descriptors = await readdir(folder).catch(() => []);
    const targets = await Promise.all(descriptors.map((fd) => readlink(join(folder, fd)).catch(() => '')));
    if (targets.includes(device)) return Number(entry);
  }
  return null;
}
