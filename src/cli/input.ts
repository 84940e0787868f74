import { readFileSync } from 'node:fs';
import { MerestoneError } from '../base/error.ts';

/** A file that an option names; `what` is what it should hold. Throws FileNotFound, FileUnreadable. */
export function readInput(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new MerestoneError(missing ? 'FileNotFound' : 'FileUnreadable', `the ${what} cannot be read`, {
      subject: path,
      hint: missing ? 'correct the path' : 'let this user read it',
      cause,
    });
  }
}
