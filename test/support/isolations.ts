import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { OpenIsolate } from '../../src/silo/host/open-isolate.ts';
import { connectProcess } from '../../src/silo/host/process-isolate.ts';
import { ThreadIsolate } from '../../src/silo/host/thread-isolate.ts';
import { limitsOf, type WatchdogThresholds } from '../../src/silo/host/watchdog.ts';

const siloProgram = join(import.meta.dirname, 'silo-server.ts');
const merestone = join(import.meta.dirname, '../../src/cli/merestone.js');
const rogueEntry = new URL('./rogue-silo.ts', import.meta.url);
const realEntry = new URL('../../src/silo/tenant/worker.ts', import.meta.url);

/** In the environment of a silo's process; its isolate must not see it. */
const processSecret = 'of the process alone';

/** Lower than a gateway's, so that a test need not wait. */
export const watchdogThresholds: WatchdogThresholds = {
  memoryMeasurementsMax: 2,
  cpuMeasurementsMax: 3,
  silenceMaxMs: 3000,
};

/** A process behind a Unix socket in a folder of its own, under a user of its own where the test is root. */
export class SiloProcess implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'merestone-silo-'));
  readonly socket = join(this.folder, 'silo.sock');
  readonly uid: number;
  /** Lines of its log. */
  readonly log: Record<string, unknown>[] = [];
  readonly #words: readonly string[];
  #child: ChildProcess | undefined;

  constructor(words: (socket: string) => readonly string[], uid: number = process.getuid!()) {
    this.uid = uid;
    this.#words = words(this.socket);
    chmodSync(this.folder, 0o755);
    if (uid !== process.getuid!()) chownSync(this.folder, uid, uid);
  }

  /** `merestone silo` as its unit runs it; the test's own user is the gateway's. */
  static real(uid?: number): SiloProcess {
    const words = (socket: string) => [merestone, 'silo', '--listen', socket, '--gateway-user-of', '/root'];
    return new SiloProcess(words, uid);
  }

  static rogue(uid?: number, gatewayUid: number = process.getuid!(), entry: URL = rogueEntry): SiloProcess {
    const words = (socket: string) => [
      siloProgram,
      socket,
      String(gatewayUid),
      entry.href,
      JSON.stringify(watchdogThresholds),
    ];
    return new SiloProcess(words, uid);
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, this.#words, {
      // V8 prints its stack there where it ends a process, as some tests want it to.
      stdio: ['ignore', 'pipe', 'ignore'],
      uid: this.uid,
      gid: this.uid,
      env: { MERESTONE_TEST_SECRET: processSecret },
    });
    this.#child = child;
    const lines = createInterface(child.stdout);
    lines.on('line', (line) => this.log.push(JSON.parse(line) as Record<string, unknown>));
    await Promise.race([
      once(lines, 'line'),
      once(child, 'exit').then(() => {
        throw new Error(`the silo's process did not start: ${child.exitCode}`);
      }),
    ]);
  }

  /** Resolves when it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'close');
    child.kill(signal);
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** How to open a silo's isolate, and the process to end with it. */
export interface IsolatedSilo extends AsyncDisposable {
  open: OpenIsolate;
  process?: SiloProcess;
}

const entries = { real: realEntry, rogue: rogueEntry };

/** Each kind of isolation, with a real silo or a faulty one. */
export const isolatedSilos = {
  async thread(silo: keyof typeof entries): Promise<IsolatedSilo> {
    const entry = entries[silo];
    return {
      open: ({ options }, clock, _logger, listener) =>
        new ThreadIsolate(
          {
            name: options.name,
            limits: limitsOf(options),
            clock,
            rogue: { entry, thresholds: watchdogThresholds },
          },
          listener,
        ),
      async [Symbol.asyncDispose]() {},
    };
  },
  async process(silo: keyof typeof entries): Promise<IsolatedSilo> {
    const process = SiloProcess.rogue(undefined, undefined, entries[silo]);
    await process.start();
    return {
      process,
      open: (_startMessage, clock, _logger, listener) => connectProcess(process.socket, { clock }, listener),
      [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
    };
  },
} as const;

export type IsolationKind = keyof typeof isolatedSilos;
