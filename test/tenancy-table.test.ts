import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const root = join(import.meta.dirname, '..');

interface Row {
  door: string;
  file: string;
  /** Absent where the whole file is about it. */
  title: string | undefined;
}

/** The rows of the table of doors in docs/tenancy.md. */
function doorsOf(text: string): Row[] {
  const section = text.slice(text.indexOf('\n## Doors\n'));
  return [...section.matchAll(/^\| (.+?) \| .+ \| `(test\/[^`]+)`(?:: (.+))? \|$/gm)].map(
    ([, door, file, title]) => ({ door: door!, file: file!, title }),
  );
}

/** Rows whose test is not there, or has another title. */
function broken(rows: readonly Row[]): Row[] {
  return rows.filter(({ file, title }) => {
    try {
      return !readFileSync(join(root, file), 'utf8').includes(title ?? '');
    } catch {
      return true;
    }
  });
}

describe('the table of doors', () => {
  const text = readFileSync(join(root, 'docs/tenancy.md'), 'utf8');
  const rows = doorsOf(text);

  it('names for every door a test whose file and title are there; that it tries the door, a reader judges', () => {
    const lines = text.slice(text.indexOf('\n## Doors\n')).match(/^\| /gm)!.length;
    assert.equal(rows.length, lines - 1, 'a row without a test');
    assert.ok(rows.length > 15);
    assert.deepEqual(broken(rows), []);
  });

  it('is found out where it does not', () => {
    const [first] = rows as [Row];
    assert.equal(broken([{ ...first, title: 'holds against everything' }]).length, 1);
    assert.equal(broken([{ ...first, file: 'test/none.test.ts' }]).length, 1);
  });
});
