import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Summary } from '../../src/demo/demo-summary.ts';
import { until } from '../support/until.ts';

const escape = '\u001b';
/** Three demos side by side on two busy cores are twelve starts of Node. */
const waitMsMax = 100_000;
const program = join(import.meta.dirname, '../../src/cli/merestone.js');

/** A system without pseudo-terminals, and the demo in it. */
const withoutTerminals =
  'mount -t tmpfs none /dev/pts && mount --bind /dev/null /dev/ptmx && exec "$0" "$1" demo --seconds 5';

/** A demo with a temporary folder of its own, so that everything it leaves behind has that folder in its name. */
interface Run {
  process: ChildProcess;
  folder: string;
  /** All its output so far. */
  stdout: () => string;
  stderr: () => string;
  /** Resolves once its standard output matches. */
  says: (isWanted: (output: string) => boolean) => Promise<void>;
  exited: Promise<[code: number | null, signal: NodeJS.Signals | null]>;
}

describe('merestone demo', { concurrency: 3 }, () => {
  const runs: Run[] = [];
  after(async () => {
    for (const { process: child, exited, folder } of runs) {
      child.kill('SIGTERM');
      await exited;
      rmSync(folder, { recursive: true });
    }
  });

  function start(command: string, words: readonly string[], environment: NodeJS.ProcessEnv = {}): Run {
    const folder = mkdtempSync(join(tmpdir(), 'merestone-test-'));
    const child = spawn(command, words, { env: { ...process.env, TMPDIR: folder, ...environment } });
    const exited = once(child, 'close') as Run['exited'];
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const says: Run['says'] = (isWanted) => {
      const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
      const said = (): string => `${stdout}${stderr}`.slice(-4000);
      return until(
        () => isWanted(stdout) || (hasEnded() && assert.fail(`ended too early: ${said()}`)),
        'output',
        waitMsMax,
      );
    };
    const run = { process: child, folder, stdout: () => stdout, stderr: () => stderr, says, exited };
    runs.push(run);
    return run;
  }

  it('brings both tenants’ readings to the backend, refuses the attacker, and leaves no trace', async () => {
    const run = start(process.execPath, [program, 'demo', '--seconds', '8', '--json']);
    const [code] = await run.exited;
    assert.equal(code, 0, run.stderr() + run.stdout());
    const lines = run.stdout().trimEnd().split('\n');
    const summary = JSON.parse(lines.at(-1)!) as Summary;
    assert.equal(lines.length, 1, 'with --json, standard output is one document');
    assert.equal(summary.ok, true);
    assert.deepEqual(summary.reasons, []);
    assert.deepEqual(
      summary.tenants.map(({ tenant, gateway, devices }) => ({ tenant, gateway, devices })),
      [
        { tenant: 'acme', gateway: 'acme_gw-0001', devices: ['boiler', 'main-meter'] },
        { tenant: 'borealis', gateway: 'borealis_gw-0001', devices: ['chiller', 'cold-room', 'mast'] },
      ],
    );
    for (const { epoch, samples, batches, rows, verified, gaps, duplicates } of summary.tenants) {
      assert.match(epoch ?? '', /^[0-9A-HJKMNP-TV-Z]{26}$/);
      assert.deepEqual([gaps, duplicates], [0, 0]);
      assert.ok(verified > 0 && verified <= batches, JSON.stringify(summary));
      assert.ok(samples > 10 && batches > 5 && rows > samples, JSON.stringify(summary));
    }
    assert.notEqual(summary.tenants[0]!.epoch, summary.tenants[1]!.epoch);
    assert.deepEqual(summary.crossTenant, { attempts: 1, refused: 1, arrived: 0 });
    assertNoTrace(run.folder);
  });

  it('cleans up on SIGTERM while it runs, and writes no escape codes without a terminal', async () => {
    const run = start(process.execPath, [program, 'demo']);
    const flows = /acme online: .* [1-9]\d* rows \| borealis online: .* [1-9]\d* rows/;
    await run.says((output) => flows.test(output));
    run.process.kill('SIGTERM');
    const [code, signal] = await run.exited;
    assert.deepEqual([code, signal], [0, null], run.stderr());
    assert.ok(!run.stdout().includes(escape));
    assert.match(run.stdout(), /1 of 1 attempts to cross tenants refused/);
    assertNoTrace(run.folder);
  });

  it('cleans up if it is stopped before it has begun', async () => {
    const run = start(process.execPath, [program, 'demo', '--json']);
    await until(() => readdirSync(run.folder).length > 0, 'a folder', waitMsMax);
    run.process.kill('SIGINT');
    const [code] = await run.exited;
    assert.equal(code, 69);
    assert.equal((JSON.parse(run.stdout()) as Summary).ok, false);
    assertNoTrace(run.folder);
  });

  it('needs no program of the system', async () => {
    const run = start(process.execPath, [program, 'demo', '--seconds', '5', '--json'], { PATH: '/nowhere' });
    const [code] = await run.exited;
    assert.equal(code, 0, run.stderr());
    assert.equal((JSON.parse(run.stdout()) as Summary).ok, true);
    assertNoTrace(run.folder);
  });

  it('reports what is missing if a part cannot start', async () => {
    const run = start('unshare', ['--mount', 'sh', '-c', withoutTerminals, process.execPath, program]);
    const [code] = await run.exited;
    assert.equal(code, 69, run.stderr());
    assert.match(
      run.stderr(),
      /no simulated serial line: .*gives no pseudo-terminal; .*\/dev\/pts is mounted/,
    );
    assertNoTrace(run.folder);
  });

  it('plays on a terminal: the broker is stopped and started, a device unplugged, nothing is lost', async () => {
    const command = `stty cols 100 rows 32; exec ${process.execPath} ${program} demo`;
    const run = start('script', ['-qfec', command, '/dev/null'], { TERM: 'xterm-256color' });
    const press = (key: string): boolean => run.process.stdin!.write(key);
    const shows = (pattern: RegExp): Promise<void> => run.says((output) => pattern.test(screenOf(output)));
    await shows(/isolation holds: 1 refused/);
    press('b');
    await shows(/start the broker/);
    press('d');
    await shows(/cold-room .*(timeout|offline)/);
    await shows(/[2-9] waiting .* [2-9] waiting/);
    press('d');
    press('b');
    await shows(/● online .*● online/);
    await shows(/cold-room .* °C/);
    await shows(/ [01] waiting .* [01] waiting/);
    press('x');
    await shows(/isolation holds: 2 refused/);
    press('q');
    const [code] = await run.exited;
    assert.equal(code, 0, run.stdout().slice(-2000));
    const [before, after] = run.stdout().split(`${escape}[?1049l`);
    assert.ok(before!.includes(`${escape}[?1049h`));
    assert.match(after!, / 0 missing, [\s\S]* 0 missing, [\s\S]*2 of 2 attempts/);
    assertNoTrace(run.folder);
  });

  it('cleans up if its terminal is closed', async () => {
    const run = start('script', ['-qfec', `${process.execPath} ${program} demo`, '/dev/null']);
    await run.says((output) => /live/.test(screenOf(output)));
    run.process.kill('SIGKILL');
    await until(() => readdirSync(run.folder).length === 0, 'an empty folder', waitMsMax);
    await until(() => traces(run.folder).length === 0, 'the end of every process', waitMsMax);
  });
});

/** Command lines of running processes that name the folder. */
function traces(folder: string): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const commands = pids.map((pid) => readProcFile(`/proc/${pid}/cmdline`).replaceAll('\0', ' '));
  return commands.filter((command) => command.includes(folder));
}

/** No process, socket, pseudo-terminal or folder of it is left. */
function assertNoTrace(folder: string): void {
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(traces(folder), []);
  assert.ok(!readFileSync('/proc/net/unix', 'utf8').includes(folder));
}

/** Empty where the process has gone meanwhile. */
function readProcFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The text on the screen after `output`, which places whole lines with colours. */
function screenOf(output: string): string {
  const rows: string[] = [];
  let row = 0;
  for (const piece of output.split(`${escape}[`)) {
    const place = /^(\d+);1H/.exec(piece);
    if (place !== null) {
      row = Number(place[1]);
      rows[row] = '';
    }
    rows[row] += piece.replace(/^[\d;?]*[A-Za-z]/, '');
  }
  return rows.join('\n');
}
