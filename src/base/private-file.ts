import { chmodSync, closeSync, openSync, statSync } from 'node:fs';

const privateMode = 0o600;

/**
 * Makes `file` where it is missing, and readable by its owner alone: the one that SQLite makes could be read by every
 * user. An existing file is not opened, since closing it would end the locks that this process has on it (POSIX fcntl).
 */
export function keepPrivate(file: string): void {
  const { mode } = statSync(file, { throwIfNoEntry: false }) ?? {};
  if (mode === undefined) return closeSync(openSync(file, 'a', privateMode));
  if ((mode & 0o777) === privateMode) return;
  try {
    chmodSync(file, privateMode);
  } catch {
    // A read-only disk, or another owner: the folder is closed to others all the same.
  }
}
