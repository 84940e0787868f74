import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connectAsync, type MqttClient } from 'mqtt';
import { Worker } from 'node:worker_threads';
import type { Row } from '../../src/backend/row.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { topicOf } from '../../src/messages/topic.ts';
import type { FuzzOrder } from './fuzz-sender.ts';
import { Mosquitto } from './mosquitto.ts';
import { SealedStream } from './sealed-stream.ts';

const program = join(import.meta.dirname, '../../src/cli/merestone.js');
const hostile = { tenant: 'acme', gateway: 'acme_gw-0001' };
const honest = { tenant: 'beta', gateway: 'beta_gw-0001' };

/** How a row of it begins. */
const ownRow = `{"tenant":"${honest.tenant}"`;

/** The sender gets requests no faster than it sends. */
const askedMax = 100;

/** Latencies of the honest tenant's rows over a while, ms, and how many never arrived. */
export interface Measured {
  p50: number;
  p99: number;
  max: number;
  lost: number;
  batches: number;
}

/**
 * A running `merestone consume` with state and evidence, behind a real Mosquitto as it is installed, shared by a
 * tenant that publishes a batch every few milliseconds and one that sends what StreamFuzz makes.
 */
export class SharedBackend implements AsyncDisposable {
  /** Of the consumer: the most memory that it had, bytes. */
  residentMax = 0;
  readonly notices: Record<string, unknown>[] = [];
  exitCode: number | null | undefined;
  sentHostile = 0;
  readonly #folder: string;
  readonly #broker: Mosquitto;
  readonly #client: MqttClient;
  readonly #sender: Worker;
  /** Messages that the sender was asked for and has not sent yet. */
  #asked = 0;
  readonly #stream = new SealedStream(honest);
  /** seq → when it was published, ms. */
  readonly #sentAt = new Map<number, number>();
  readonly #latencies: number[] = [];
  #child!: ChildProcess;
  /** The consumer's output, and how far it was read. */
  #rows: number | undefined;
  #rowsRead = 0;
  readonly #chunk = Buffer.alloc(256 * 1024);
  #reading!: NodeJS.Timeout;
  #resident!: NodeJS.Timeout;

  private constructor(folder: string, broker: Mosquitto, client: MqttClient, sender: Worker) {
    this.#folder = folder;
    this.#broker = broker;
    this.#client = client;
    this.#sender = sender;
    sender.on('message', (count: number) => {
      this.#asked -= count;
      this.sentHostile += count;
    });
  }

  static async start(seed: number, bytesMax: number): Promise<SharedBackend> {
    const folder = await mkdtemp(join(tmpdir(), 'shared-backend-'));
    const authority = await createAuthority('Test CA');
    const broker = await Mosquitto.start({
      authority,
      config: ['max_queued_messages 0', 'set_tcp_nodelay true'],
    });
    const backend = await authority.issue({ organization: 'backend', commonName: 'backend' });
    await writeFile(join(folder, 'backend.crt'), backend.certificatePem);
    await writeFile(join(folder, 'backend.key'), backend.privateKeyPem);
    await writeFile(join(folder, 'ca.crt'), authority.certificatePem);
    const own = await authority.issue({ organization: honest.tenant, commonName: honest.gateway });
    const client = await connectAsync(broker.url, {
      protocolVersion: 5,
      ca: authority.certificatePem,
      cert: own.certificatePem,
      key: own.privateKeyPem,
    });
    const theirs = await authority.issue({ organization: hostile.tenant, commonName: hostile.gateway });
    const { url } = broker;
    const order: FuzzOrder = {
      url,
      ca: authority.certificatePem,
      ...theirs,
      origin: hostile,
      seed,
      bytesMax,
    };
    const sender = new Worker(new URL('./fuzz-sender.ts', import.meta.url), { workerData: order });
    await once(sender, 'message');
    const shared = new SharedBackend(folder, broker, client, sender);
    await shared.#consume();
    return shared;
  }

  /** Publishes the honest tenant's batches for `ms`, `hostilePerTurn` messages of the hostile one with each. */
  async measure(
    ms: number,
    everyMs: number,
    hostilePerTurn: number,
    messagesMax = Infinity,
  ): Promise<Measured> {
    this.#latencies.length = 0;
    const first = this.#stream.seq + 1;
    const sentBefore = this.sentHostile;
    for (const end = Date.now() + ms; Date.now() < end && this.sentHostile - sentBefore < messagesMax; ) {
      const next = Date.now() + everyMs;
      this.#stream.append();
      const { seq } = this.#stream;
      this.#sentAt.set(seq, performance.now());
      const payload = this.#stream.payload(seq);
      void this.#client.publishAsync(topicOf(honest, 'telemetry'), payload, { qos: 1 });
      if (hostilePerTurn > 0 && this.#asked < askedMax) this.#attack(hostilePerTurn);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - Date.now())));
    }
    await this.until(() => this.#sentAt.size === 0 || this.exitCode !== undefined);
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;
    const batches = this.#stream.seq - first + 1;
    return { p50: at(0.5), p99: at(0.99), max: at(1), lost: this.#sentAt.size, batches };
  }

  async until(condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 60_000; Date.now() < end && !condition(); ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The most memory since this was last asked, bytes. */
  takeResident(): number {
    const most = this.residentMax;
    this.residentMax = 0;
    return most;
  }

  /** Ends the consumer as an administrator does, and starts it again over what it has. */
  async restart(): Promise<void> {
    await this.#end();
    await this.#consume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    closeSync(this.#rows!);
    await this.#sender.terminate();
    await this.#client.endAsync(true);
    await this.#broker.close();
    await rm(this.#folder, { recursive: true });
  }

  #attack(count: number): void {
    this.#asked += count;
    this.#sender.postMessage(count);
  }

  async #consume(): Promise<void> {
    const file = (name: string): string => join(this.#folder, name);
    const words = [
      ['--url', this.#broker.url, '--ca', file('ca.crt'), '--trust', file('ca.crt')],
      ['--certificate', file('backend.crt'), '--private-key', file('backend.key')],
      ['--client-id', 'shared', '--state', file('state'), '--evidence', file('evidence'), '--json'],
      ['--output', file('rows.ndjson')],
    ].flat();
    this.exitCode = undefined;
    const child = spawn(process.execPath, [program, 'consume', ...words], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    child.once('exit', (code) => (this.exitCode = code));
    createInterface(child.stderr).on('line', (line) => {
      if (this.notices.length < 10_000 && line.startsWith('{')) this.notices.push(JSON.parse(line));
    });
    this.#rows ??= openSync(file('rows.ndjson'), 'a+');
    this.#reading = setInterval(() => this.#readRows(), 1);
    this.#resident = setInterval(() => this.#noteResident(), 100);
    const before = this.notices.length;
    await this.until(() => this.notices.slice(before).some(({ kind }) => kind === 'connected'));
  }

  async #end(): Promise<void> {
    clearInterval(this.#resident);
    clearInterval(this.#reading);
    if (this.exitCode !== undefined) return;
    this.#child.kill('SIGTERM');
    await once(this.#child, 'close');
  }

  /** Looks for the honest tenant's rows among what was written since; the other's are only passed over. */
  #readRows(): void {
    for (let read = this.#readChunk(); read > 0; read = this.#readChunk()) {
      const end = this.#chunk.subarray(0, read).lastIndexOf(0x0a) + 1;
      this.#rowsRead += end;
      const chunk = this.#chunk.subarray(0, end);
      for (let at = chunk.indexOf(ownRow); at >= 0; at = chunk.indexOf(ownRow, at + 1)) {
        this.#takeRow(JSON.parse(chunk.subarray(at, chunk.indexOf(0x0a, at)).toString()) as Row);
      }
      if (end === 0) return;
    }
  }

  #readChunk(): number {
    return readSync(this.#rows!, this.#chunk, 0, this.#chunk.length, this.#rowsRead);
  }

  #takeRow({ seq }: Row): void {
    const sentAt = this.#sentAt.get(seq);
    if (sentAt === undefined) return;
    this.#sentAt.delete(seq);
    this.#latencies.push(performance.now() - sentAt);
  }

  #noteResident(): void {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
      this.residentMax = Math.max(this.residentMax, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024);
    } catch {
      // It has ended, and `exitCode` says so.
    }
  }
}
