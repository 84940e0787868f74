import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import {
  chanceViolations,
  importViolations,
  mayImport,
  ownerViolations,
  isolationViolations,
} from './support/architecture.ts';

const root = join(import.meta.dirname, '..');

function readTree(...folders: string[]): Map<string, string> {
  const sources = new Map<string, string>();
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (/\.(ts|js)$/.test(entry))
        sources.set(join(folder, entry), readFileSync(join(root, folder, entry), 'utf8'));
    }
  }
  return sources;
}

describe('the rooms of src', () => {
  const sources = readTree('src');

  it('import one another in the direction of the house', () => {
    assert.ok(sources.size > 50, `only ${sources.size} files found`);
    assert.deepEqual(importViolations(sources), []);
  });

  it('keep keys and tenants out of the main thread', () => {
    assert.deepEqual(isolationViolations(sources), []);
  });

  it('are found out when they do not', () => {
    const seeded = new Map(sources);
    seeded.set('src/spool/seeded.ts', "import { startUplink } from '../uplink/uplink.ts';\n");
    seeded.set('src/base/seeded.ts', "const late = await import('../silo/tenant/silo.ts');\n");
    seeded.set('src/gateway/seeded.ts', "import { loadIdentity } from '../silo/tenant/silo.ts';\n");
    assert.deepEqual(importViolations(seeded), [
      'src/spool/seeded.ts imports src/uplink/uplink.ts',
      'src/base/seeded.ts imports src/silo/tenant/silo.ts',
    ]);
    assert.deepEqual(isolationViolations(seeded), ['src/gateway/seeded.ts imports src/silo/tenant/silo.ts']);
  });
});

describe('the name of a tenant', () => {
  it('is given to spool and uplink by a verified certificate or an opened ledger only', () => {
    const makers = [...readTree('src')]
      .filter(([, text]) => /\bas OwnedOrigin\b/.test(text))
      .map(([path]) => path);
    assert.deepEqual(makers.sort(), ['src/identity/tenant-identity.ts', 'src/spool/state/ledger.ts']);
    const plain = [...readTree('src/spool', 'src/uplink')].filter(([, text]) => /: Origin\b/.test(text));
    assert.deepEqual(
      plain.map(([path]) => path),
      [],
    );
  });
});

describe('docs/architecture.md', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const rows = [
    ...page.matchAll(/^\| `([\w-]+)` \| (.+?) \| \[[\w.-]+\]\(\.\.\/(src\/[\w./-]+)\) \| (.+?) \|$/gm),
  ];

  it('has a row for every room, with what the import rules say', () => {
    const listed = rows.map(([, room, , , imports]) => [room, imports]);
    const ruled = Object.entries(mayImport).map(([room, rooms]) => [room, rooms.join(', ') || 'nothing']);
    assert.deepEqual(listed, [...ruled, ['cli', 'every room']]);
    const rooms = readdirSync(join(root, 'src'), { withFileTypes: true });
    assert.deepEqual(
      rooms.filter((entry) => entry.isDirectory()).map(({ name }) => name),
      rows.map(([, room]) => room!).sort(),
    );
  });

  it('names files that are there', () => {
    const named = [...page.matchAll(/`([\w-]+(?:\/[\w.-]+)*\.ts)`/g)].map(([, path]) => path!);
    assert.ok(named.length > 25, `only ${named.length} files found`);
    const every = [...readTree('src', 'test').keys()];
    const missing = named.filter((path) => !every.some((file) => file === path || file.endsWith(`/${path}`)));
    assert.deepEqual(missing, []);
    for (const [, , , entry] of rows) assert.ok(every.includes(entry!), entry);
  });
});

describe('the index of decisions', () => {
  it('has every decision once, under its number', () => {
    const folder = join(root, 'docs/decisions');
    const index = readFileSync(join(folder, 'README.md'), 'utf8');
    const listed = [...index.matchAll(/^- \[(\d+)\]\((\d{4})(-[\w-]+\.md)\) /gm)];
    assert.deepEqual(
      listed.map(([, , number, rest]) => `${number}${rest}`).sort(),
      readdirSync(folder).filter((file) => file !== 'README.md'),
    );
    for (const [, shown, number] of listed) assert.equal(Number(shown), Number(number));
  });
});

describe('chance in tests', () => {
  it('has a seed that repeats it', () => {
    assert.deepEqual(chanceViolations(readTree('test')), []);
  });

  it('is found out where it has none', () => {
    const unseeded = ['Math', 'random'].join('.');
    const seeded = new Map([['test/seeded.test.ts', `const pauseMs = ${unseeded}() * 300;\n`]]);
    assert.deepEqual(chanceViolations(seeded), ['test/seeded.test.ts:1 draws without a seed']);
  });
});

describe('work that no caller awaits', () => {
  const sources = readTree('src');

  it('has an owner: no promise is thrown away, and timers are the clock’s', () => {
    assert.deepEqual(ownerViolations(sources), []);
  });

  it('is found out where it has none', () => {
    const seeded = new Map(sources);
    seeded.set('src/base/seeded.ts', 'void work();\nconst late = () => void work();\nconst a: void = b();\n');
    seeded.set('src/silo/seeded.ts', 'setInterval(tick, 1000);\n// setTimeout(tick)\n');
    seeded.set('src/gateway/seeded.ts', 'work().catch(() => {});\n');
    assert.deepEqual(ownerViolations(seeded), [
      'src/base/seeded.ts:1 throws a promise away',
      'src/base/seeded.ts:2 throws a promise away',
      'src/silo/seeded.ts:1 sets a timer past the clock',
    ]);
  });

  it('is held by the linter too', () => {
    const lint = JSON.parse(readFileSync(join(root, '.oxlintrc.json'), 'utf8')) as {
      rules: Record<string, unknown>;
      overrides: { files: string[]; rules: Record<string, string> }[];
    };
    for (const rule of ['typescript/no-floating-promises', 'typescript/no-misused-promises']) {
      assert.match(JSON.stringify(lint.rules[rule]), /^\[?"error"/, rule);
    }
    assert.equal(
      lint.overrides.find(({ files }) => files.includes('src/**'))?.rules['eslint/no-void'],
      'error',
    );
  });
});

describe('every source file', () => {
  const sources = readTree('src', 'test', 'scripts');

  it('is a kebab-case noun and no drawer for odds and ends', () => {
    const drawers = /^(utils?|helpers?|manager|service|common|misc)$/;
    for (const path of sources.keys()) {
      const name = basename(path).replace(/(\.test)?\.(ts|js)$/, '');
      assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/, path);
      assert.doesNotMatch(name, drawers, path);
    }
  });

  it('is short enough to be read at once', () => {
    const linesMax = 400;
    const long = [...sources].filter(
      ([path, text]) => path.startsWith('src/') && text.split('\n').length > linesMax,
    );
    assert.deepEqual(
      long.map(([path]) => path),
      [],
    );
  });

  it('holds no promise and no skipped test', () => {
    // Written apart, so that this file does not find itself.
    const words = [
      ['TO', 'DO'],
      ['FIX', 'ME'],
      ['XX', 'X\\b'],
      ['\\.on', 'ly\\('],
      ['\\.sk', 'ip\\('],
    ];
    const promise = new RegExp(words.map((parts) => parts.join('')).join('|'));
    const broken = [...sources].filter(([, text]) => promise.test(text)).map(([path]) => path);
    assert.deepEqual(broken, []);
  });
});
