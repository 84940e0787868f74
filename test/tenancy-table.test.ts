import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const root = join(import.meta.dirname, '..');

interface Row {
  what: string;
  file: string;
  /** Absent where the whole file is about it. */
  title: string | undefined;
}

/** The part of docs/tenancy.md below a heading. */
function sectionOf(text: string, heading: string): string {
  const from = text.indexOf(`\n## ${heading}\n`);
  const to = text.indexOf('\n## ', from + 1);
  return text.slice(from, to < 0 ? undefined : to);
}

/** The rows of its table: the first column, and the test in the last one. */
function rowsOf(section: string): Row[] {
  return [...section.matchAll(/^\| (.+?) \| .+ \| `(test\/[^`]+)`(?:: (.+))? \|$/gm)].map(
    ([, what, file, title]) => ({ what: what!, file: file!, title }),
  );
}

/** Rows whose test file or test title does not exist. */
function broken(rows: readonly Row[]): Row[] {
  return rows.filter(({ file, title }) => {
    try {
      return !readFileSync(join(root, file), 'utf8').includes(title ?? '');
    } catch {
      return true;
    }
  });
}

const tables = [
  { heading: 'Attack paths', rowsMin: 30, each: 'attack path' },
  { heading: 'Numbers that others tell', rowsMin: 25, each: 'number' },
];

describe('the tables of docs/tenancy.md', () => {
  const text = readFileSync(join(root, 'docs/tenancy.md'), 'utf8');

  for (const { heading, rowsMin, each } of tables) {
    it(`name for every ${each} a test whose file and title exist`, () => {
      const section = sectionOf(text, heading);
      const rows = rowsOf(section);
      const lines = section.match(/^\| /gm)!.length;
      assert.equal(rows.length, lines - 1, 'a row without a test');
      assert.ok(rows.length > rowsMin, `${rows.length} rows`);
      assert.deepEqual(broken(rows), []);
    });
  }

  it('fail the check if a title or file does not exist', () => {
    const [first] = rowsOf(sectionOf(text, 'Attack paths')) as [Row];
    assert.equal(broken([{ ...first, title: 'holds against everything' }]).length, 1);
    assert.equal(broken([{ ...first, file: 'test/none.test.ts' }]).length, 1);
  });
});
