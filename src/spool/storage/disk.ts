import { closeSync, fsyncSync, ftruncateSync, openSync, statfsSync, statSync, writeSync } from 'node:fs';

/** Of a disk that we leave to others: a box whose disk is full cannot even be logged into. */
const floorShare = 0.05;
const floorBytesMax = 64_000_000;

/** Bytes by which files in `directory` may grow before its disk is down to the floor; never below 0. */
export function roomToGrow(directory: string): number {
  const { bavail, blocks, bsize } = statfsSync(directory);
  const floor = Math.min(floorBytesMax, blocks * bsize * floorShare);
  return Math.max(0, bavail * bsize - floor);
}

/** Tells whether a path still names the file that is open; undefined where it names none. */
export function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}

/** 0 where there is no such file. */
export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * Makes `file` at least so long, with blocks of the disk under all of it. Throws what the disk throws,
 * and then the file is as long as before.
 */
export function allocate(file: string, bytes: number): void {
  const before = sizeOf(file);
  const descriptor = openSync(file, 'a', 0o600);
  try {
    const zeros = Buffer.alloc(65_536);
    for (let at = before; at < bytes; ) {
      at += writeSync(descriptor, zeros, 0, Math.min(zeros.length, bytes - at));
    }
    fsyncSync(descriptor);
  } catch (error) {
    cutBack(descriptor, before);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** Zeros at the end of a WAL or a reserve do no harm; the fault before is the one to report. */
function cutBack(descriptor: number, bytes: number): void {
  try {
    ftruncateSync(descriptor, bytes);
  } catch {
    // The disk takes nothing at all.
  }
}
