import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nameFindings, namesAllowed, wordFindings } from './support/tidy.ts';

/** These two speak of such words because that is their subject. */
const exempt = new Set(['test/support/tidy.ts', 'test/tidy.test.ts']);
const root = join(import.meta.dirname, '..');

function readTree(): Map<string, string> {
  const sources = new Map<string, string>();
  for (const folder of ['src', 'test', 'docs']) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      const path = join(folder, entry);
      if (/\.(ts|md|txt)$/.test(entry) && !exempt.has(path))
        sources.set(path, readFileSync(join(root, path), 'utf8'));
    }
  }
  return sources;
}

describe('the words of the tree', () => {
  const sources = readTree();

  it('are plain in the names of files, types, functions and variables', () => {
    assert.ok(sources.size > 500, `only ${sources.size} files found`);
    assert.deepEqual(nameFindings(sources), []);
  });

  it('are plain in comments, texts and docs', () => {
    assert.deepEqual(wordFindings(sources), []);
  });

  for (const [title, source, found] of [
    ['a type', 'export interface GateKeeper {}\n', 'GateKeeper'],
    ['a private member', 'class A {\n  #warden = 1;\n}\n', 'warden'],
    ['a method', 'class A {\n  async hurry(): Promise<void> {}\n}\n', 'hurry'],
    ['a parameter', 'run((seat) => 1);\nfunction f(seat: number) {}\n', 'seat'],
    ['a variable', 'const slave = 1;\n', 'slave'],
    ['a use of several words', 'call(a.oldSlaveAddress);\n', 'oldSlaveAddress'],
  ] as const) {
    it(`are found in the name of ${title}`, () => {
      const findings = nameFindings(new Map([['src/seeded.ts', source]]));
      assert.deepEqual([...new Set(findings.map((finding) => finding.found))], [found]);
    });
  }

  it('are found in the name of a file, of which a comment is no name', () => {
    const seeded = new Map([
      ['src/old-seat.ts', '// const seat = 1;\n/** seatOfPower */\n'],
      ['docs/plague.md', ''],
    ]);
    assert.deepEqual(
      nameFindings(seeded).map(({ path }) => path),
      [...seeded.keys()],
    );
  });

  it('are found in prose, whole words only', () => {
    const seeded = new Map([['docs/seeded.md', 'The Portrait of a contender; impossessedly.\n']]);
    assert.deepEqual(
      wordFindings(seeded).map(({ found, instead }) => [found, instead]),
      [
        ['portrait', 'silo status'],
        ['contender', 'candidate'],
      ],
    );
  });

  it('have no exception that nothing uses', () => {
    const every = [...sources.values()];
    const unused = Object.keys(namesAllowed).filter((name) => !every.some((text) => text.includes(name)));
    assert.deepEqual(unused, []);
  });
});
