import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes a folder for its owner alone, with those above it. Throws the system's error for the first it can't make. */
export function makeDirectory(path: string): void {
  const options = { mode: 0o700 };
  try {
    mkdirSync(path, { ...options, recursive: true });
  } catch (error) {
    // On a read-only disk Node says of a recursive mkdir(2) that there is no such folder.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(firstMissing(path), options);
    throw error;
  }
}

function firstMissing(path: string): string {
  const parent = dirname(path);
  return parent === path || existsSync(parent) ? path : firstMissing(parent);
}
