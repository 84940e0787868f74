import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import { freePort } from './free-port.ts';

export interface MosquittoOptions {
  /** Issues the broker's certificate where `certificate` is left out. A new one where both are. */
  authority?: Authority;
  /** The broker's own certificate; for localhost and 127.0.0.1 where left out. */
  certificate?: IssuedCertificate;
  /** PEM of the CAs that clients must come from; `authority` where left out. */
  clientCa?: string;
  /** Lines of the ACL file; `mosquittoAcl` where left out. */
  acl?: readonly string[];
  /** More lines of mosquitto.conf. */
  config?: readonly string[];
  /** Words before the program's, such as those that put it into a container's network. */
  prefix?: readonly string[];
}

/** Each certificate reads and writes below its own CN; the certificate `backend` reads everything. */
export const mosquittoAcl: readonly string[] = [
  'pattern readwrite t/+/%u/#',
  'user backend',
  'topic read t/#',
];

/** Start, stop and reload take milliseconds; this is for a machine that is very busy. */
const startMs = 20_000;
const logBytesMax = 10_000_000;

/**
 * A real Mosquitto on 127.0.0.1 that takes mutual TLS only, with the certificate's CN as user name. Its port, folder
 * and retained messages stay the same over `stop`/`kill` and `start`; `close` leaves nothing behind.
 */
export class Mosquitto implements AsyncDisposable {
  readonly authority: Authority;
  /** Path of the CA certificate that a client checks the broker by. */
  readonly caFile: string;
  /** The broker's log so far, over all its starts. */
  log = '';
  readonly #folder: string;
  #config: readonly string[];
  readonly #prefix: readonly string[];
  #port = 0;
  #child: ChildProcess | undefined;
  /** Where a test ends without `close`. */
  readonly #vanish = (): void => {
    this.#child?.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  };

  private constructor(folder: string, authority: Authority, options: MosquittoOptions) {
    this.#folder = folder;
    this.authority = authority;
    this.caFile = join(folder, 'ca.crt');
    this.#config = options.config ?? [];
    this.#prefix = options.prefix ?? [];
    process.once('exit', this.#vanish);
  }

  /** Rejects, with the broker's log, where it does not come up. */
  static async start(options: MosquittoOptions = {}): Promise<Mosquitto> {
    const folder = await mkdtemp(join(tmpdir(), 'mosquitto-'));
    const authority = options.authority ?? (await createAuthority('Test CA'));
    const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
    const own = options.certificate ?? (await authority.issue({ commonName: 'broker', server: names }));
    const broker = new Mosquitto(folder, authority, options);
    await writeFile(broker.caFile, authority.certificatePem);
    await writeFile(join(folder, 'clients.crt'), options.clientCa ?? authority.certificatePem);
    await writeFile(join(folder, 'broker.crt'), own.certificatePem);
    await writeFile(join(folder, 'broker.key'), own.privateKeyPem, { mode: 0o600 });
    await broker.#writeAcl(options.acl ?? mosquittoAcl);
    try {
      await broker.start();
    } catch (error) {
      await broker.close();
      throw error;
    }
    return broker;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `mqtts://localhost:${this.#port}`;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Starts it again after `stop` or `kill`; resolves when it takes connections. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    // Mosquitto cannot pick a port by itself, and another program may take a free one before it does.
    for (let tries = 3; ; tries -= 1) {
      if (this.#port === 0) this.#port = await freePort();
      await this.#writeConfig();
      if (await this.#launch()) return;
      if (tries === 1 || !this.log.includes('Address already in use')) {
        throw new Error(`mosquitto did not start:\n${this.log}`);
      }
      this.#port = 0;
    }
  }

  /** Ends it as an administrator does: clients are told, retained messages and sessions saved. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Ends it as a crash does. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** It still accepts connections and bytes, and answers nothing any more. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** Replaces the ACL of the running broker; resolves when it is in force. */
  async setAcl(lines: readonly string[]): Promise<void> {
    await this.#writeAcl(lines);
    await this.#reload();
  }

  /** Other lines of mosquitto.conf, under the running broker; resolves when those that it reloads are in force. */
  async setConfig(lines: readonly string[]): Promise<void> {
    this.#config = lines;
    await this.#writeConfig();
    await this.#reload();
  }

  async #reload(): Promise<void> {
    if (this.#child === undefined) return;
    const from = this.log.length;
    this.#child.kill('SIGHUP');
    await this.#logged(from, 'Reloading config.');
    // The line is written before the work is done, and the broker does one thing after the other.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }

  /** Stops it and removes its folder. */
  async close(): Promise<void> {
    await this.kill();
    process.off('exit', this.#vanish);
    await rm(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #launch(): Promise<boolean> {
    const from = this.log.length;
    const words = [...this.#prefix, '/usr/sbin/mosquitto', '-c', join(this.#folder, 'mosquitto.conf')];
    const child = spawn(words[0]!, words.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (this.log.length < logBytesMax) this.log += text;
    });
    child.once('error', (error) => {
      this.log += `${error.message}\n`;
    });
    child.once('close', () => {
      this.#child = undefined;
    });
    return this.#logged(from, ' running');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    const timer = setTimeout(() => child.kill('SIGKILL'), startMs);
    child.kill(signal);
    await closed;
    clearTimeout(timer);
  }

  /** False where the broker ended, or the time did, first. */
  async #logged(from: number, text: string): Promise<boolean> {
    for (const until = Date.now() + startMs; Date.now() < until; ) {
      if (this.log.slice(from).includes(text)) return true;
      if (this.#child === undefined) return false;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return false;
  }

  #writeAcl(lines: readonly string[]): Promise<void> {
    return writeFile(join(this.#folder, 'acl'), `${lines.join('\n')}\n`);
  }

  #writeConfig(): Promise<void> {
    const path = (name: string): string => join(this.#folder, name);
    const lines = [
      `listener ${this.#port} 127.0.0.1`,
      `cafile ${path('clients.crt')}`,
      `certfile ${path('broker.crt')}`,
      `keyfile ${path('broker.key')}`,
      'require_certificate true',
      'use_identity_as_username true',
      'allow_anonymous false',
      `acl_file ${path('acl')}`,
      // Its files are ours: it must not drop to a user of its own where it is started by root.
      `user ${userInfo().username}`,
      'persistence true',
      `persistence_location ${this.#folder}/`,
      // An absent subscriber misses nothing, for any number of messages.
      'max_queued_messages 0',
      'log_dest stderr',
      'log_type error',
      'log_type warning',
      'log_type notice',
      'log_type information',
      ...this.#config,
    ];
    return writeFile(path('mosquitto.conf'), `${lines.join('\n')}\n`);
  }
}
