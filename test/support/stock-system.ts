import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { CommandResult } from './daemon.ts';

const root = join(import.meta.dirname, '../..');
/** Parts that a system may lack; each test adds its own. */
const ofEachTest = /^(node|nodejs|npm|npx|corepack|sudo|apt-get|dpkg-query)$/;

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  /** Words before the command: namespaces, another user. */
  prefix?: readonly string[];
  timeoutMs?: number;
}

/**
 * A checkout as a user has it after `git clone`, and a PATH with this system's tools, an old Node where this system
 * has one, and no npm, no apt-get and no sudo until the test puts them there.
 */
export class StockSystem implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'merestone-stock-'));
  readonly checkout = join(this.#folder, 'merestone');
  readonly #bin = join(this.#folder, 'bin');
  readonly #tools = join(this.#folder, 'tools');

  constructor() {
    // Another user's, as far as `nobody` is concerned.
    chmodSync(this.#folder, 0o755);
    for (const folder of [this.#bin, this.#tools, join(this.#folder, 'home')]) mkdirSync(folder);
    chmodSync(join(this.#folder, 'home'), 0o777);
    linkTools(this.#tools);
    this.newCheckout();
    this.useNode(systemNode());
  }

  /** As after another `git clone`. */
  newCheckout(): void {
    rmSync(this.checkout, { recursive: true, force: true });
    cpSync(root, this.checkout, {
      recursive: true,
      filter: (path) => !['node_modules', '.git'].includes(basename(path)),
    });
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  /** Puts a program into the PATH. */
  program(name: string, text: string): void {
    const path = join(this.#bin, name);
    rmSync(path, { force: true });
    writeFileSync(path, text, { mode: 0o755 });
  }

  /** Makes `path` the system's Node. */
  useNode(path: string): void {
    this.remove('node');
    symlinkSync(path, join(this.#bin, 'node'));
  }

  remove(name: string): void {
    rmSync(join(this.#bin, name), { force: true });
  }

  /** Puts npm of a version into the PATH, from the registry or npm's cache. Throws where neither has it. */
  installNpm(version: string): void {
    const folder = this.path(`npm-${version}`);
    if (!existsSync(folder)) {
      mkdirSync(folder);
      const pack = spawnSync('npm', ['pack', '--silent', `npm@${version}`], {
        cwd: folder,
        encoding: 'utf8',
      });
      if (pack.status !== 0) throw new Error(`npm ${version}: ${pack.stderr ?? pack.error?.message}`);
      spawnSync('tar', ['xzf', `npm-${version}.tgz`], { cwd: folder });
    }
    this.program('npm', `#!/bin/sh\nexec node ${folder}/package/bin/npm-cli.js "$@"\n`);
  }

  /** Runs a program of the checkout or of the PATH to its end, in a process group of its own. */
  async run(words: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return this.start(words, options).ended;
  }

  start(
    words: readonly string[],
    options: RunOptions = {},
  ): { kill: (signal: NodeJS.Signals) => void; ended: Promise<CommandResult> } {
    const [command, ...rest] = [...(options.prefix ?? []), ...words];
    const child = spawn(command!, rest, {
      cwd: this.checkout,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...this.#environment(), ...options.env },
    });
    const kill = (signal: NodeJS.Signals): void => {
      // The group may be gone.
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, signal);
    };
    const timer = setTimeout(kill, options.timeoutMs ?? 120_000, 'SIGKILL');
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = once(child, 'close').then(([exitCode]) => {
      clearTimeout(timer);
      return { exitCode: exitCode as number | null, stdout, stderr };
    });
    return { kill, ended };
  }

  /** This process's, without what its own npm and Node put there. */
  #environment(): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_)/i.test(name));
    const { NODE_EXTRA_CA_CERTS } = process.env;
    return {
      ...Object.fromEntries(own),
      ...(NODE_EXTRA_CA_CERTS === undefined ? {} : { NODE_EXTRA_CA_CERTS }),
      PATH: `${this.#bin}:${this.#tools}`,
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function linkTools(folder: string): void {
  for (const from of ['/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    for (const name of readdirSync(from)) {
      if (ofEachTest.test(name) || existsSync(join(folder, name))) continue;
      try {
        symlinkSync(join(from, name), join(folder, name));
      } catch {
        // A link that leads nowhere was there already.
      }
    }
  }
}

/** Why npm can't be had here; false where it can. */
export function whyNoNpm(): string | false {
  using system = new StockSystem();
  try {
    system.installNpm('9.2.0');
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The one that this system brings, old as it may be; else the one that runs this. */
export function systemNode(): string {
  const candidate = '/usr/bin/node';
  return existsSync(candidate) ? realpathSync(candidate) : process.execPath;
}
