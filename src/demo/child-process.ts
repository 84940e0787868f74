import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from '../base/clock.ts';

const program = join(import.meta.dirname, '../cli/merestone.js');
/** `merestone run` stops within 5 s; then it is killed. */
const leaveWithinMs = 8000;
/** Lines for the message where it fails: an error and its stack. */
const lastOutputMax = 12;

export interface ChildOptions {
  /** Gets all that it writes, standard error too. */
  logFile: string;
  onLine?: (line: string) => void;
  onErrorLine?: (line: string) => void;
}

/** `merestone …` as a process of its own, as a user would start it. */
export class Child {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #lastOutput: string[] = [];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(words: readonly string[], { logFile, onLine, onErrorLine }: ChildOptions) {
    this.name = `merestone ${words[0]}`;
    const log = createWriteStream(logFile);
    // In a group of its own: a Ctrl-C in the terminal reaches only this process, which then stops the child.
    const child = spawn(process.execPath, ['--disable-sigusr1', program, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#process = child;
    this.exited = new Promise((resolve) => {
      child.once('error', () => resolve({ code: null, signal: null }));
      child.once('close', (code, signal) => {
        log.end();
        resolve({ code, signal });
      });
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`);
      this.#remember(line);
      onLine?.(line);
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.write(`${line}\n`);
      this.#remember(line);
      onErrorLine?.(line);
    });
  }

  get running(): boolean {
    return (
      this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined
    );
  }

  /** The last lines that it wrote. */
  get lastOutput(): string {
    return this.#lastOutput.join('\n');
  }

  /** Asks it to leave, and kills it where it does not in time. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.#process.kill('SIGTERM');
    const cancel = systemClock.after(leaveWithinMs, () => this.#process.kill('SIGKILL'));
    await this.exited;
    cancel();
  }

  #remember(line: string): void {
    this.#lastOutput.push(line);
    if (this.#lastOutput.length > lastOutputMax) this.#lastOutput.shift();
  }
}
