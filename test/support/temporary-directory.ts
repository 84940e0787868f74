import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Made by this process, and gone with it at the latest. */
const directories = new Set<string>();
process.once('exit', () => directories.forEach(remove));

function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

/** A test's context, or `{ after }` of node:test for a whole file or suite. */
export interface CleanUp {
  after: (done: () => void) => void;
}

/** A folder that is gone when the test is over, or its process: a spool closed later writes itself anew. */
export function temporaryDirectory(t: CleanUp, parent = tmpdir()): string {
  const directory = mkdtempSync(join(parent, 'merestone-test-'));
  directories.add(directory);
  t.after(() => remove(directory));
  return directory;
}
