import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Authority } from '../../src/simulator/certificate-authority.ts';
import type { Isolation } from '../../src/status/status.ts';
import type { Row } from '../../src/backend/row.ts';
import { Daemon, RunningCommand } from './daemon.ts';

/**
 * A customer's site in a folder of its own: certificates, one configuration, and everything that runs there. What
 * was started or opened is given to `cleanUp` and ended with it, last first.
 */
export class Site implements AsyncDisposable {
  readonly folder: string;
  readonly authority: Authority;
  /** Words before the plant's and the backend's programs, such as those that put them into a container's network. */
  prefix: readonly string[] = [];
  readonly #cleanUps: (() => unknown)[] = [];

  private constructor(folder: string, authority: Authority) {
    this.folder = folder;
    this.authority = authority;
  }

  static async create(authority: Authority): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'merestone-site-'));
    const site = new Site(folder, authority);
    await writeFile(site.path('ca.crt'), authority.certificatePem);
    return site;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  get config(): string {
    return this.path('merestone.yaml');
  }

  get controlSocket(): string {
    return this.path('control.sock');
  }

  /** Writes NAME.crt and NAME.key for a gateway of `tenant`. */
  async issueGateway(name: string, tenant: string, gateway = `${tenant}_gw-0001`): Promise<void> {
    const issued = await this.authority.issue({ organization: tenant, commonName: gateway });
    await writeFile(this.path(`${name}.crt`), issued.certificatePem);
    await writeFile(this.path(`${name}.key`), issued.privateKeyPem, { mode: 0o600 });
  }

  /** Writes backend.crt and backend.key, with the CN that may read everything. */
  async issueBackend(): Promise<void> {
    const issued = await this.authority.issue({ organization: 'backend', commonName: 'backend' });
    await writeFile(this.path('backend.crt'), issued.certificatePem);
    await writeFile(this.path('backend.key'), issued.privateKeyPem, { mode: 0o600 });
  }

  /** Writes the configuration: the head is the site's, `body` begins with `silos:`. */
  configure(body: string): Promise<void> {
    const head = `stateDir: ./state\ncontrol: { socket: ${this.controlSocket} }\n`;
    return writeFile(this.config, head + body);
  }

  /** Puts the state elsewhere, such as on a small disk; after `configure`. */
  async moveState(folder: string): Promise<void> {
    const text = await readFile(this.config, 'utf8');
    await writeFile(this.config, text.replace('stateDir: ./state', `stateDir: ${folder}`));
  }

  startDaemon(prefix: readonly string[] = []): Daemon {
    const daemon = new Daemon(this.config, prefix);
    this.cleanUp(() => daemon.stop('SIGKILL'));
    return daemon;
  }

  /**
   * `merestone consume` with the backend's certificate: rows go to rows.ndjson, or to where `more` has `--postgres`;
   * notices to its stderr.
   */
  startConsumer(brokerUrl: string, ...more: string[]): RunningCommand {
    const files = ['--ca', 'ca.crt', '--certificate', 'backend.crt', '--private-key', 'backend.key'];
    const paths = files.map((word) => (word.startsWith('--') ? word : this.path(word)));
    const trust = ['--trust', this.path('ca.crt')];
    const file = more.includes('--postgres') ? [] : ['--output', this.path('rows.ndjson')];
    const output = [...file, '--state', this.path('consume.state')];
    const session = ['--client-id', 'backend', '--json'];
    const words = ['consume', '--url', brokerUrl, ...paths, ...trust, ...output, ...session, ...more];
    const consumer = new RunningCommand(words, this.prefix);
    this.cleanUp(() => consumer.stop('SIGKILL'));
    return consumer;
  }

  /** What the consumer has written so far. */
  async rows(): Promise<Row[]> {
    const text = await readFile(this.path('rows.ndjson'), 'utf8').catch(() => '');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Row);
  }

  cleanUp(work: () => unknown): void {
    this.#cleanUps.push(work);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const work of this.#cleanUps.toReversed()) await work();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The kinds of isolation; a journey that must pass with both runs once with each. */
export const isolations: readonly Isolation[] = ['thread', 'process'];

/** A silo's entry in a configuration, with the files that `issueGateway` wrote. */
export function siloEntry(
  name: string,
  brokerUrl: string,
  more = '',
  isolation: Isolation = 'thread',
): string {
  return `  - name: ${name}
    identity: { certificate: ./${name}.crt, privateKey: ./${name}.key, trust: ./ca.crt }
    uplink: { url: '${brokerUrl}', ca: ./ca.crt${more === '' ? '' : `, ${more}`} }
${isolation === 'thread' ? '' : `    isolation: ${isolation}\n`}`;
}
