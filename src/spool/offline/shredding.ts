import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { keptFiles, filesOf, walOf } from '../storage/layout.ts';
import { overwrite } from '../../base/overwrite-file.ts';
import { syncPath } from '../../base/sync-path.ts';
import type { Ledger } from '../state/ledger.ts';
import { holdLock } from '../storage/lock.ts';
import { encodeMark, readMark } from '../state/high-water-mark.ts';

/**
 * Destroys the spool in a folder for good, damaged files that were set aside included: the database first,
 * which has the wrapped keys, every byte overwritten and flushed, then deleted. What is left is the high-water mark,
 * so that the next epoch reports the end of this one. Needs no key. `record` is called first, with the
 * files that are to go, while no other process can open the spool. Throws SpoolHeld, SpoolUnavailable, what
 * `record` throws, and what the disk throws.
 */
export function shred(
  directory: string,
  claim: Ledger | undefined,
  record: (files: readonly string[]) => void,
): string[] {
  const files = filesOf(directory);
  const lock = holdLock(directory);
  try {
    const witnessed = readMark(files.highWaterMark);
    const last = claim && { epoch: claim.head.epoch, seq: claim.head.seq, nextEntry: claim.nextEntry };
    const mark = witnessed ?? last;
    const aside = keptFiles(directory).flatMap((file) => [file, walOf(file)]);
    const doomed = [files.database, files.wal, files.reserve, ...aside].filter((file) => existsSync(file));
    record(doomed);
    for (const file of doomed) overwrite(file);
    for (const file of doomed) rmSync(file);
    rmSync(files.building, { recursive: true, force: true });
    if (mark !== undefined) {
      writeFileSync(files.highWaterMark, encodeMark({ ...mark, isShredded: true }), {
        flush: true,
        mode: 0o600,
      });
    }
    syncPath(directory);
    return doomed;
  } finally {
    lock.release();
  }
}
