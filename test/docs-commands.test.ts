import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..');
const program = path.join(root, 'src/cli/merestone.js');
const timeoutMs = 60_000;
const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/*.md', { cwd: root })];
const textOf = new Map(pages.map((page) => [page, readFileSync(path.join(root, page), 'utf8')]));

interface Block {
  page: string;
  text: string;
  /** One for each command: lines that end in a backslash are joined, comments are left out. */
  commands: string[];
}

function blocksOf(page: string): Block[] {
  return Array.from(textOf.get(page)!.matchAll(/^( *)```sh\n(.*?)^\1```$/gms), ([, , text]) => ({
    page,
    text: text!,
    commands: text!
      .replaceAll('\\\n', ' ')
      .split('\n')
      .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
      .filter((line) => line !== ''),
  }));
}

const blocks = pages.flatMap(blocksOf);
const keyOf = ({ page, commands }: Block): string =>
  `${page}: ${commands[0]!.split(/\s+/).slice(0, 3).join(' ')}`;

const needsBroker = 'needs a broker and a fleet: test/backend and test/journey run it against Mosquitto';
const needsSystemd = 'needs root and systemd: test/systemd runs it in a container';
const needsEvidence = 'needs evidence of a running backend: test/backend runs it';

/** Each block either runs here, or says why it does not. */
const treatment: Record<string, 'runs' | { notRun: string }> = {
  'README.md: ./scripts/demo': { notRun: 'test/demo runs the demo; scripts/test runs this file' },
  'README.md: git clone <this': 'runs',
  'README.md: ./scripts/merestone consume --url': { notRun: needsBroker },
  'CONTRIBUTING.md: ./scripts/test test/spool/spool.test.ts': { notRun: 'scripts/test runs this file' },
  'CONTRIBUTING.md: ./scripts/merestone check --config': 'runs',
  'docs/backend.md: merestone consume --url': { notRun: needsBroker },
  'docs/backend.md: jws=$(mosquitto_sub … -t': { notRun: needsBroker },
  'docs/backend.md: merestone backend refused': {
    notRun: 'needs the state of a consumer: test/backend runs it',
  },
  'docs/backend.md: PGPASSWORD=… merestone consume': { notRun: 'needs PostgreSQL: test/backend runs it' },
  'docs/backend.md: merestone backend report': { notRun: needsEvidence },
  'docs/brokers.md: merestone broker-policy --broker': 'runs',
  'docs/evidence.md: merestone backend witness': { notRun: needsEvidence },
  'docs/evidence.md: merestone backend report': { notRun: needsEvidence },
  'docs/evidence.md: merestone backend verify-rows': { notRun: needsEvidence },
  'docs/identity.md: openssl req -x509': 'runs',
  'docs/identity.md: /opt/merestone/scripts/seal-key merestone': { notRun: needsSystemd },
  'docs/isolation.md: cp /opt/merestone/systemd/merestone.service /opt/merestone/systemd/merestone-silo@.service':
    {
      notRun: needsSystemd,
    },
  'docs/isolation.md: /opt/merestone/scripts/seal-key merestone-silo@north': { notRun: needsSystemd },
  'docs/isolation.md: systemctl stop merestone': { notRun: needsSystemd },
  'docs/isolation.md: systemctl stop merestone-silo@north': { notRun: needsSystemd },
  'docs/isolation.md: systemctl status merestone': { notRun: needsSystemd },
  'docs/isolation.md: fallocate -l 1G': { notRun: 'needs root and a loop device' },
  'docs/spool.md: systemctl stop merestone': { notRun: needsSystemd },
};

const blockOf = (key: string): Block => blocks.find((block) => keyOf(block) === key) ?? assert.fail(key);

let folder: string;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'merestone-docs-'));
  const command = path.join(folder, 'merestone');
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
  chmodSync(command, 0o755);
  mkdirSync(path.join(folder, 'scripts'));
  copyFileSync(command, path.join(folder, 'scripts/merestone'));
});

after(() => rmSync(folder, { recursive: true }));

function shell(text: string): { status: number | null; output: string } {
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
  const child = spawnSync('bash', ['-euc', text], { cwd: folder, env, encoding: 'utf8', timeout: timeoutMs });
  return { status: child.status, output: child.stdout + child.stderr };
}

function succeeds(text: string): string {
  const { status, output } = shell(text);
  assert.equal(status, 0, `${text}\n${output}`);
  return output;
}

/** The site of the README, with the certificates that the page on identities makes. */
function makeSite(): void {
  const [, yaml] = /### One meter\n\n```yaml\n(.*?)```/s.exec(textOf.get('README.md')!)!;
  const state = path.join(folder, 'state');
  mkdirSync(state, { recursive: true });
  const own = yaml!.replace('/var/lib/merestone', state).replace('/run/merestone', state);
  writeFileSync(path.join(folder, 'my-site.yaml'), own);
  for (const [from, to] of [
    ['gw.crt', 'gateway.crt'],
    ['gw.key', 'gateway.key'],
    ['ca.crt', 'tenant-ca.crt'],
    ['ca.crt', 'broker-ca.crt'],
  ] as const) {
    copyFileSync(path.join(folder, from), path.join(folder, to));
  }
}

describe('shell blocks of the documentation', () => {
  it('either run here or have a reason why they do not', () => {
    assert.deepEqual([...new Set(blocks.map(keyOf))].toSorted(), Object.keys(treatment).toSorted());
  });

  it('are sound shell', () => {
    for (const block of blocks) {
      const { status, stderr } = spawnSync('bash', ['-n'], { input: block.text, encoding: 'utf8' });
      assert.equal(status, 0, `${keyOf(block)}: ${stderr}`);
    }
  });

  it('name scripts and unit files that exist', () => {
    for (const block of blocks) {
      for (const [name] of block.text.matchAll(
        /(?<=\/opt\/merestone\/|\.\/)(?:scripts|systemd)\/[\w@.-]+/g,
      )) {
        assert.ok(globSync(name, { cwd: root }).length === 1, `${keyOf(block)}: no ${name}`);
      }
    }
  });

  it('make a certificate that the gateway takes', () => {
    const output = succeeds(blockOf('docs/identity.md: openssl req -x509').text);
    assert.match(output, /acme_gw-0001/);
  });

  it('write a policy for Mosquitto', () => {
    mkdirSync(path.join(folder, 'fleet'));
    copyFileSync(path.join(folder, 'gw.crt'), path.join(folder, 'fleet/gw.crt'));
    succeeds(blockOf('docs/brokers.md: merestone broker-policy --broker').text);
    assert.ok(globSync('policy/*', { cwd: folder }).length > 0);
  });

  for (const key of ['README.md: git clone <this', 'CONTRIBUTING.md: ./scripts/merestone check --config']) {
    it(`of ${key.split(':')[0]} check a site, and say so when no daemon runs`, () => {
      makeSite();
      const commands = blockOf(key).commands.filter((command) => command.startsWith('./scripts/merestone '));
      const named = (name: string): string =>
        commands.find((command) => command.startsWith(`./scripts/merestone ${name}`)) ?? assert.fail(name);
      assert.match(succeeds(named('check')), /acme_gw-0001/);
      for (const name of ['status', 'tail']) {
        const { status, output } = shell(named(name));
        assert.equal(status, 69, output);
      }
    });
  }
});

const helps = new Map<string, string>();

function helpOf(words: string): string {
  let help = helps.get(words);
  if (help === undefined) {
    const args = [program, ...words.split(' ').filter((word) => word !== ''), '--help'];
    const child = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: timeoutMs });
    assert.equal(child.status, 0, `merestone ${words} --help: ${child.stdout}${child.stderr}`);
    help = child.stdout;
    helps.set(words, help);
  }
  return help;
}

const commandsIn = (help: string, prefix: string): Set<string> =>
  new Set(Array.from(help.matchAll(new RegExp(`^ +${prefix} ([a-z][\\w-]*)`, 'gm')), ([, name]) => name!));

/** What is wrong with `words`, the rest of a command line after `merestone`. */
function faultOf(words: readonly string[]): string | undefined {
  const [name = '', second = ''] = words;
  if (!commandsIn(helpOf(''), 'merestone').has(name)) return `there is no command '${name}'`;
  const inner = commandsIn(helpOf(name), `merestone ${name}`);
  const hasInner = inner.size > 0 && /^[a-z]/.test(second);
  if (hasInner && !inner.has(second)) return `there is no command '${name} ${second}'`;
  const help = helpOf(hasInner ? `${name} ${second}` : name);
  const option = words.find((word) => word.startsWith('--') && !new RegExp(`^ .*${word}\\b`, 'm').test(help));
  return option === undefined ? undefined : `'${name}' has no option ${option}`;
}

/** Command lines that call merestone: in shell blocks, and in backquotes in the text. Labels such as `batch 1` are none. */
function calls(text: string): string[] {
  const inline = Array.from(text.matchAll(/`merestone ([a-z][^`\n]*)`/g), ([, rest]) => rest!);
  const shells = Array.from(
    text.matchAll(/^[^`|\n]*?(?:^ *|scripts\/|=… |as-unit \S+ )(?:merestone )?((?<=merestone )[a-z].*)$/gm),
    ([, rest]) => rest!,
  );
  return [...inline, ...shells].filter((rest) => !/^[a-z]+ \d$/.test(rest));
}

function wordsOf(rest: string): string[] {
  const [own] = rest.split(/\s(?:#|\||>|&&)/);
  return own!
    .replaceAll(/[[\]\\]/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => word.split('=')[0]!);
}

describe('commands that the documentation names', () => {
  for (const page of pages) {
    const lines = calls(textOf.get(page)!.replaceAll('\\\n', ' '));
    if (lines.length === 0) continue;
    it(`exist with their options: ${page}`, () => {
      for (const line of lines) assert.equal(faultOf(wordsOf(line)), undefined, `merestone ${line}`);
    });
  }

  it('are found in text and in shell, and a missing one is a fault', () => {
    const text =
      'Say `merestone read` or:\n./scripts/merestone check --nothing x # y\n/opt/as-unit merestone spool veri\n';
    assert.deepEqual(
      calls(text).map((line) => faultOf(wordsOf(line))),
      ["there is no command 'read'", "'check' has no option --nothing", "there is no command 'spool veri'"],
    );
  });
});
