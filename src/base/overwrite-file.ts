import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs';

/** Overwrites what `file` holds with zeros, in place, and sees them onto the medium. `from`: what it begins with stays. */
export function overwrite(file: string, from = 0): void {
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const zeros = Buffer.alloc(65_536);
  const descriptor = openSync(file, 'r+');
  try {
    for (let at = from; at < bytes; ) {
      at += writeSync(descriptor, zeros, 0, Math.min(zeros.length, bytes - at), at);
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
