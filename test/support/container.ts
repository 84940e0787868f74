import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { debianRoot } from './container-root.ts';
import type { CommandResult } from './daemon.ts';

const checkout = join(import.meta.dirname, '../..');
/** It boots in a second; this is for a machine that is very busy. */
const bootMsMax = 60_000;
const commandMsMax = 60_000;
const logBytesMax = 100_000;

/**
 * A booted Debian with systemd, this checkout at /opt/merestone, and a network of its own that has nothing but
 * 127.0.0.1. What is written in it is gone with it, and so are this process's temporary files and the processes
 * in its network, even where the test is killed.
 */
export class Container {
  readonly #keeper: ChildProcess;
  /** Its PID 1, as this machine counts. */
  #init = 0;
  /** Output of the keeper, nspawn and the console. */
  #log = '';

  private constructor(keeper: ChildProcess) {
    this.#keeper = keeper;
    keeper.stderr!.setEncoding('utf8').on('data', (text: string) => {
      if (this.#log.length < logBytesMax) this.#log += text;
    });
  }

  /** Tries to start one; returns why this machine can't. */
  static async boot(): Promise<{ container: Container } | { whyNot: string }> {
    if (process.getuid?.() !== 0) return { whyNot: 'a container needs root' };
    let container: Container | undefined;
    try {
      const root = debianRoot();
      container = new Container(startKeeper(root));
      await container.#booted();
      return { container };
    } catch (error) {
      await container?.close();
      return { whyNot: `no container: ${(error as Error).message}` };
    }
  }

  /** Words before a program's that put a process of this machine into the container's network. */
  get network(): readonly string[] {
    return ['nsenter', `--net=/proc/${this.#init}/ns/net`, 'setpriv', '--pdeathsig=KILL'];
  }

  /** Runs a command in it, as root, to its end. */
  async run(...words: string[]): Promise<CommandResult> {
    return this.#enter(words, '');
  }

  /** As `run`, for commands that must succeed: their standard output. */
  async expect(...words: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(...words);
    if (exitCode !== 0) throw new Error(`${words.join(' ')}: exit ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  /** One property of a unit, as `systemctl show` tells it. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.expect('systemctl', 'show', '--value', '-p', name, unit)).trim();
  }

  /** The user that the unit's main process runs as. */
  async userOf(unit: string): Promise<number> {
    const pid = await this.property(unit, 'MainPID');
    return Number(await this.expect('stat', '--format=%u', `/proc/${pid}`));
  }

  /** Runs a shell line as the unit's own user, with the files that the unit's process sees. */
  async within(unit: string, line: string): Promise<CommandResult> {
    const [pid, user] = [await this.property(unit, 'MainPID'), await this.userOf(unit)];
    const files = ['nsenter', `--target=${pid}`, '--mount', '--ipc'];
    const rights = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--bounding-set=-all'];
    return this.run(...files, ...rights, 'sh', '-c', line);
  }

  /** Writes a file that by default only root can read, and its folder likewise. */
  async write(path: string, text: string, mode = '600'): Promise<void> {
    const script = `mkdir -p -m 700 "$(dirname "$1")" && cat >"$1" && chmod ${mode} "$1"`;
    const { exitCode, stderr } = await this.#enter(['sh', '-c', script, 'sh', path], text);
    if (exitCode !== 0) throw new Error(`${path}: ${stderr}`);
  }

  async close(): Promise<void> {
    delete process.env['TMPDIR'];
    if (this.#keeper.exitCode !== null || this.#keeper.signalCode !== null) return;
    const closed = once(this.#keeper, 'close');
    this.#keeper.stdin!.end();
    await closed;
  }

  async #booted(): Promise<void> {
    const lines = createInterface(this.#keeper.stdout!);
    const said = Promise.race([once(lines, 'line'), once(this.#keeper, 'exit').then(() => [])]);
    const [line] = (await said) as [string?];
    const nspawn = Number(line);
    const until = performance.now() + bootMsMax;
    while (existsSync(`/proc/${nspawn}`) && performance.now() < until) {
      this.#init = initOf(nspawn) ?? 0;
      if (this.#init > 0 && (await this.#isRunning())) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`systemd-nspawn: ${this.#log.trim().split('\n').at(-1) || 'does not come up'}`);
  }

  async #isRunning(): Promise<boolean> {
    const { stdout } = await this.run('systemctl', 'is-system-running');
    return ['running', 'degraded'].includes(stdout.trim());
  }

  async #enter(words: string[], input: string): Promise<CommandResult> {
    if (this.#keeper.exitCode !== null) throw new Error(`the container has ended: ${this.#log}`);
    const child = spawn('nsenter', ['--all', `--target=${this.#init}`, ...words], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
      timeout: commandMsMax,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A command that reads nothing may be gone before its input.
    child.stdin.on('error', () => {}).end(input);
    const [exitCode] = (await once(child, 'close')) as [number | null];
    return { exitCode, stdout, stderr };
  }
}

function startKeeper(root: string): ChildProcess {
  const folder = mkdtempSync(join(tmpdir(), 'merestone-container-'));
  process.env['TMPDIR'] = folder;
  const modules = realpathSync(join(checkout, 'node_modules'));
  const binds = [`--bind-ro=${checkout}:/opt/merestone`];
  // A link out of the checkout has the same target in the container.
  if (!modules.startsWith(realpathSync(checkout))) binds.push(`--bind-ro=${modules}`);
  return spawn(
    join(import.meta.dirname, 'container'),
    [`merestone-test-${process.pid}`, root, folder, ...binds],
    // A process group of its own: it outlives ^C and cleans up.
    { detached: true, stdio: ['pipe', 'pipe', 'pipe'] },
  );
}

/** The child of `nspawn` that is PID 1 of a namespace of its own and no part of this machine any more. */
function initOf(nspawn: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${nspawn}/task/${nspawn}/children`, 'utf8')
      .split(' ')
      .filter(Boolean);
    const init = children.find((pid) =>
      /^NSpid:\t\d+\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
    );
    const manager = readFileSync(`/proc/${init}/root/run/host/container-manager`, 'utf8');
    return manager.includes('systemd-nspawn') ? Number(init) : undefined;
  } catch {
    return undefined;
  }
}
