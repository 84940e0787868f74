import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Consumer } from '../../src/backend/consumer.ts';
import { EvidenceLog } from '../../src/backend/evidence.ts';
import type { RowSink } from '../../src/backend/row-sink.ts';
import type { VouchFor } from '../../src/backend/signature.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { HeadSigner } from '../../src/backend/tree/head-signer.ts';
import { topicOf, type Channel, type Origin } from '../../src/messages/topic.ts';
import { asideLimits } from './parked-limits.ts';
import { FakeClock } from './fake-clock.ts';
import { type issueSigner, prove, SealedStream } from './sealed-stream.ts';

type TestSigner = Awaited<ReturnType<typeof issueSigner>>;

export const gateways = {
  one: { tenant: 'acme', gateway: 'acme_gw-0001' },
  two: { tenant: 'acme', gateway: 'acme_gw-0002' },
  other: { tenant: 'beta', gateway: 'beta_gw-0001' },
} as const;

const epochs = ['01JD3W5V2K0000000000000000', '01JD3W5V2K0000000000000001'] as const;
const month = 31 * 86_400_000;

/** Evidence of a tenant's two gateways over three months, with heads kept elsewhere; in a folder that is given. */
export class KeptEvidence {
  readonly folder: string;
  readonly heads: string;
  readonly clock = new FakeClock(Date.now());
  readonly key: KeyObject;
  readonly sink: RowSink;
  readonly vouchFor: VouchFor;
  readonly #store = new StateStore(':memory:', asideLimits);
  #consumer: Consumer;

  constructor(root: string, vouchFor: VouchFor, { sink, key }: { sink?: RowSink; key?: KeyObject } = {}) {
    this.key = key ?? generateKeyPairSync('ed25519').privateKey;
    this.folder = join(root, 'evidence');
    this.heads = join(root, 'heads');
    this.vouchFor = vouchFor;
    this.sink = sink ?? { write: async () => {}, mark: () => undefined, close: async () => {} };
    this.#consumer = this.begin();
  }

  /** As a consumer that starts again does; the one before ended by a crash unless `end` was called. */
  begin(): Consumer {
    const { clock, vouchFor, sink, key, heads } = this;
    const signer = new HeadSigner({ log: 'merestone', key, file: heads, everyMs: 60_000 });
    this.#consumer = new Consumer({
      clock,
      store: this.#store,
      sink,
      vouchFor,
      evidence: new EvidenceLog(this.folder, clock, signer),
      keepRefused: false,
      gapGraceMs: 0,
      notify: () => {},
    });
    return this.#consumer;
  }

  async take(origin: Origin, channel: Channel, document: Buffer | string | object): Promise<void> {
    const text = (): string => (typeof document === 'string' ? document : JSON.stringify(document));
    const payload = Buffer.isBuffer(document) ? document : Buffer.from(text());
    await this.#consumer.take({ topic: topicOf(origin, channel), payload, properties: {}, again: false });
  }

  /** A minute goes by, and heads are signed. */
  tick(): void {
    this.clock.advance(60_000);
    this.#consumer.tick();
  }

  end(): void {
    this.#consumer.end();
  }

  /** Batches from `from` to `to`, a checkpoint of them, and a head. */
  async run(stream: SealedStream, signer: TestSigner, from: number, to: number): Promise<void> {
    for (let seq = from; seq <= to; seq++) await this.take(stream.origin, 'telemetry', stream.payload(seq));
    const claims = stream.claims(to, { at: this.clock.wallMs() });
    await this.take(stream.origin, 'checkpoint', await signer.sign(claims));
    this.tick();
  }

  /** Three months: verified batches, a dropped run, a refused event, a gap, and a second epoch. */
  async live(signers: Record<keyof typeof gateways, TestSigner>): Promise<void> {
    const one = new SealedStream(gateways.one, epochs[0]).appendMany(40);
    const two = new SealedStream(gateways.two).appendMany(9);
    const other = new SealedStream(gateways.other).appendMany(3);
    await this.run(two, signers.two, 1, 4);
    await this.run(other, signers.other, 1, 3);
    for (let at = 0; at < 3; at++) {
      await this.run(one, signers.one, at * 12 + 1, at * 12 + 5);
      const lost = one.lost('dropped', at * 12 + 6, at * 12 + 7);
      await this.take(gateways.one, 'event', await prove(signers.one, { ...lost, at: this.clock.wallMs() }));
      await this.take(gateways.one, 'event', 'nonsense');
      await this.run(one, signers.one, at * 12 + 8, at * 12 + 12);
      if (at < 2) this.clock.setWall(this.clock.wallMs() + month);
    }
    await this.run(new SealedStream(gateways.one, epochs[1]).appendMany(4), signers.one, 1, 4);
    this.end();
  }

  /** A copy for a test that tampers with it. */
  copyTo(folder: string): TamperedEvidence {
    rmSync(folder, { recursive: true, force: true });
    cpSync(this.folder, folder, { recursive: true });
    return new TamperedEvidence(folder);
  }
}

/** Evidence in the hands of an attacker who knows its format, and has no key. */
export class TamperedEvidence {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  path(origin: Origin, name = ''): string {
    return join(this.folder, origin.tenant, origin.gateway, name);
  }

  months(origin: Origin): string[] {
    return readdirSync(this.path(origin)).filter((name) => name.endsWith('.ndjson'));
  }

  remove(origin: Origin, name = ''): void {
    rmSync(this.path(origin, name), { recursive: true });
  }

  /** Changes the lines of one month and recomputes what follows from the line before. */
  rewrite(origin: Origin, name: string, change: (lines: Line[]) => Line[], chained = true): void {
    const path = this.path(origin, name);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    let prev = '0'.repeat(64);
    const changed = change(lines.map((line) => JSON.parse(line) as Line)).map((line) => {
      const text = JSON.stringify(chained ? { ...line, prev } : line);
      prev = createHash('sha256').update(text).digest('hex');
      return text;
    });
    mkdirSync(this.path(origin), { recursive: true });
    writeFileSync(path, changed.map((line) => `${line}\n`).join(''));
  }
}

export interface Line extends Record<string, unknown> {
  at: number;
  prev: string;
  channel?: string;
  message?: string;
  finding?: Record<string, unknown>;
  batch?: Record<string, unknown>;
}
