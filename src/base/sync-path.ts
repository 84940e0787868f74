import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Makes the bytes of a file, or the new, renamed and removed names in a folder, survive a power cut. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
