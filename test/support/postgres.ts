import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { eventually } from './daemon.ts';
import { freePort } from './free-port.ts';

/** Debian keeps each version's programs in a folder of its own. */
const versions = '/usr/lib/postgresql';

/** A real PostgreSQL in a folder of its own, on 127.0.0.1 with passwords; `close` leaves nothing behind. */
export class Postgres implements AsyncDisposable {
  readonly #folder: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  static async start(): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), 'postgres-'));
    const data = join(folder, 'data');
    const user = unprivileged();
    const password = join(folder, 'password');
    writeFileSync(password, 'secret\n');
    if (user !== undefined) for (const path of [folder, password]) chownSync(path, user.uid, user.gid);
    const words = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', password, '--no-sync'];
    const made = spawnSync(join(programs(), 'initdb'), words, { ...user, cwd: folder, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
    const postgres = new Postgres(folder, await freePort());
    await postgres.startAgain();
    return postgres;
  }

  /** After `kill`: with what was committed before. */
  async startAgain(): Promise<void> {
    const folder = this.#folder;
    const words = ['-D', join(folder, 'data'), '-h', '127.0.0.1', '-p', String(this.#port), '-k', folder];
    this.#child = spawn(join(programs(), 'postgres'), [...words, '-F', '-c', 'max_connections=20'], {
      ...unprivileged(),
      cwd: folder,
      stdio: 'ignore',
    });
    await eventually('PostgreSQL is up', async () => {
      const client = await this.connect('postgres', 'secret');
      await client.end();
      return true;
    });
  }

  /** As a crash does: immediate shutdown, without notice to its clients and with a recovery at the next start. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    this.thaw();
    child.kill('SIGQUIT');
    await closed;
    this.#child = undefined;
  }

  url(user: string, password: string): string {
    return `postgres://${user}:${password}@127.0.0.1:${this.#port}/postgres`;
  }

  async connect(user: string, password: string): Promise<Client> {
    const client = new Client({ connectionString: this.url(user, password) });
    await client.connect();
    return client;
  }

  /** The server and all of its sessions stop answering, as on a hung machine, until `thaw`. */
  freeze(): void {
    this.#signalAll('SIGSTOP');
  }

  thaw(): void {
    this.#signalAll('SIGCONT');
  }

  #signalAll(signal: NodeJS.Signals): void {
    const main = this.#child!.pid!;
    const list = spawnSync('ps', ['-o', 'pid=', '--ppid', String(main)], { encoding: 'utf8' }).stdout;
    for (const pid of [main, ...list.split('\n').filter(Boolean).map(Number)]) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        // A session may end meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function programs(): string {
  return join(versions, readdirSync(versions).sort().at(-1)!, 'bin');
}

/** PostgreSQL refuses to run as root: then it runs as the user that Debian's package made for it. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string): number =>
    Number(spawnSync('id', [option, 'postgres'], { encoding: 'utf8' }).stdout);
  return { uid: id('-u'), gid: id('-g') };
}
