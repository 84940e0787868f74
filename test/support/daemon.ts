import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { GatewayStatus } from '../../src/status/status.ts';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'src/cli/merestone.js');

/** What a command printed and how it ended. */
export interface CommandResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

/** Runs one merestone command to its end, as a process of its own. */
export async function runCommand(words: readonly string[], timeoutMs = 60_000): Promise<CommandResult> {
  const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { exitCode, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

/** A running `merestone run`. */
export class Daemon {
  readonly config: string;
  readonly #child: ChildProcess;
  /** The daemon's log so far, one parsed JSON object a line. */
  readonly log: Record<string, unknown>[] = [];

  /** `prefix`: command words before the program's, such as those that drop root's privileges. */
  constructor(config: string, prefix: readonly string[] = []) {
    this.config = config;
    const words = [...prefix, process.execPath, program, 'run', '--config', config];
    this.#child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface(this.#child.stdout!).on('line', (line) =>
      this.log.push(JSON.parse(line) as Record<string, unknown>),
    );
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async status(): Promise<GatewayStatus> {
    const { stdout, stderr, exitCode } = await runCommand(['status', '--json', '--config', this.config]);
    // 1 and 2 are its verdict.
    if (exitCode === null || exitCode > 2) throw new Error(`status: exit ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as GatewayStatus;
  }

  /** Ends it and waits for it; the exit code, or null after a signal that it did not handle. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.running) return this.#child.exitCode;
    const exited = once(this.#child, 'close');
    this.#child.kill(signal);
    const [exitCode] = (await exited) as [number | null];
    return exitCode;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** A merestone command that runs until it is told to stop, such as `consume`. */
export class RunningCommand {
  readonly #child: ChildProcess;
  stderr = '';

  constructor(words: readonly string[], prefix: readonly string[] = []) {
    const all = [...prefix, process.execPath, program, ...words];
    this.#child = spawn(all[0]!, all.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const closed = once(this.#child, 'close');
    this.#child.kill(signal);
    const [exitCode] = (await closed) as [number | null];
    return exitCode;
  }
}

/** Asks again until the answer is truthy; throws after `timeoutMs` with the last answer or error. */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  timeoutMs = 30_000,
): Promise<Exclude<T, false | '' | 0 | null | undefined>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const answer = await ask();
      if (answer) return answer as Exclude<T, false | '' | 0 | null | undefined>;
      last = answer;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within ${timeoutMs} ms; last: ${String(last)}`);
}
