import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** A program that has a device open. */
export interface Holder {
  pid: number;
  command: string;
}

/**
 * Finds another process that has `path` open, by what /proc lets this user see; null where it sees none.
 * Only called when an open was refused: it walks every process.
 */
export async function findHolder(path: string, procRoot = '/proc'): Promise<Holder | null> {
  const device = await realpath(path).catch(() => path);
  const entries = await readdir(procRoot).catch(() => []);
  for (const entry of entries) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const folder = join(procRoot, entry, 'fd');
    const descriptors = await readdir(folder).catch(() => []);
    const targets = await Promise.all(descriptors.map((fd) => readlink(join(folder, fd)).catch(() => '')));
    if (!targets.includes(device)) continue;
    const command = await readFile(join(procRoot, entry, 'comm'), 'utf8').catch(() => '?');
    return { pid: Number(entry), command: command.trim() };
  }
  return null;
}
