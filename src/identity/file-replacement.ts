import { chmodSync, chownSync, existsSync, linkSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { MerestoneError } from '../base/error.ts';
import { syncPath } from '../base/sync-path.ts';

/**
 * Replaces a file atomically: a reader, or a power cut, finds either the old or the new file, complete. Owner and
 * mode stay, so that the service can still read what root installs; the old file is kept as `.old`. Returns the path
 * if there was an old file. Throws Io.
 */
export function replaceFile(named: string, text: string, newMode: number): string[] {
  const path = existsSync(named) ? realpathSync(named) : named;
  const temporary = `${path}.new`;
  const backup = `${path}.old`;
  try {
    const before = statSync(path, { throwIfNoEntry: false });
    rmSync(temporary, { force: true });
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx', flush: true });
    if (before !== undefined) {
      chownSync(temporary, before.uid, before.gid);
      rmSync(backup, { force: true });
      linkSync(path, backup);
    }
    chmodSync(temporary, before === undefined ? newMode : before.mode & 0o777);
    renameSync(temporary, path);
    syncPath(dirname(path));
    return before === undefined ? [] : [path];
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new MerestoneError('Io', `the file could not be replaced (${(error as Error).message})`, {
      subject: path,
      hint: 'run as a user who may write there; the old file is still in place',
      cause: error,
    });
  }
}
