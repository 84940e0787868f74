import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs';

/** Overwrites `file` with zeros in place, from byte `from` on, and syncs them to the medium. */
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
