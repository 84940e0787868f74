import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { connectAsync } from 'mqtt';
import type { Row } from '../../src/backend/row.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type Channel, topicOf } from '../../src/messages/topic.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { Consume, type Document } from '../support/consume.ts';
import { LiveSilo } from '../support/live-silo.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { issueSigner, prove, SealedStream } from '../support/sealed-stream.ts';
import { Site } from '../support/site.ts';
import { until } from '../support/until.ts';

const page = join(import.meta.dirname, '../../docs/backend.md');
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

/** The page's example, run with Debian's packages. */
class Example {
  readonly rows: Row[] = [];
  readonly notices: Document[] = [];
  readonly #child;

  static async start(site: Site, port: number): Promise<Example> {
    const [, program] = /\n```python\n([^]*?)\n```\n/.exec(readFileSync(page, 'utf8'))!;
    await writeFile(site.path('consumer.py'), program!);
    return new Example(site, port);
  }

  private constructor(site: Site, port: number) {
    const files = ['ca.crt', 'python.crt', 'python.key', 'ca.crt'].map((name) => site.path(name));
    const words = [site.path('consumer.py'), 'localhost', String(port), ...files];
    this.#child = spawn('/usr/bin/python3', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface(this.#child.stdout).on('line', (line) => this.rows.push(JSON.parse(line) as Row));
    createInterface(this.#child.stderr).on('line', (line) => {
      this.notices.push(line.startsWith('{') ? (JSON.parse(line) as Document) : { kind: 'text', line });
    });
  }

  of(kind: string): Document[] {
    return this.notices.filter((each) => each.kind === kind);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const closed = once(this.#child, 'close');
    this.#child.kill(signal);
    const [code] = (await closed) as [number | null];
    return code;
  }
}

async function setUp(t: TestContext) {
  const authority = await createAuthority('Test CA');
  const acl = [
    'pattern readwrite t/+/%u/#',
    'user backend',
    'topic read t/#',
    'user python',
    'topic read t/#',
  ];
  const broker = await Mosquitto.start({ authority, acl });
  t.after(() => broker.close());
  const site = await Site.create(authority);
  t.after(() => site[Symbol.asyncDispose]());
  await site.issueGateway('north', 'acme');
  await site.issueBackend();
  const own = await authority.issue({ commonName: 'python' });
  await writeFile(site.path('python.crt'), own.certificatePem);
  await writeFile(site.path('python.key'), own.privateKeyPem);
  const consume = new Consume([
    '--url',
    broker.url,
    ...['ca', 'certificate', 'private-key', 'trust'].flatMap((name, index) => {
      return [`--${name}`, site.path(['ca.crt', 'backend.crt', 'backend.key', 'ca.crt'][index]!)];
    }),
  ]);
  site.cleanUp(() => consume.child.exitCode ?? consume.end('SIGKILL'));
  const python = await Example.start(site, broker.port);
  site.cleanUp(() => python.end('SIGKILL'));
  await consume.connected();
  await until(
    () => python.of('subscribed').length === 2,
    () => `the example listens: ${JSON.stringify(python.notices)}`,
  );
  return { authority, broker, site, consume, python };
}

/** The numbers of all stretches that were found good, by gateway. */
function verified(notices: readonly Document[]): Set<string> {
  const seqs = notices
    .filter(({ kind }) => kind === 'verified')
    .flatMap(({ gateway, epoch, from, to }) =>
      Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => {
        return `${String(gateway)} ${String(epoch)} ${Number(from) + index}`;
      }),
    );
  return new Set(seqs);
}

function sorted(rows: readonly Row[]): string[] {
  const members = (row: Row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return rows.map(members).toSorted();
}

describe('the Python example of docs/backend.md', () => {
  it('has the rows of consume, and finds what consume finds', async (t) => {
    const { authority, broker, site, consume, python } = await setUp(t);
    // A real gateway, compressed; its stop signs the head.
    const live = await LiveSilo.start(site.folder, systemClock, {
      uplink: { url: broker.url, compression: 'zstd', noSubscribers: 'keep' },
    });
    await live.reached(({ uplink }) => uplink?.state === 'online', 'a session');
    for (let count = 0; count < 10; count += 1) {
      await live.feed(12);
      await live.reached(({ samples }) => samples.stored === count + 1, 'it is stored');
    }
    await live.reached(({ samples }) => samples.published === 10, 'all was sent');
    await live[Symbol.asyncDispose]();

    // And a gateway with all that can go wrong.
    const signer = await issueSigner(authority, beta);
    const client = await connectAsync(broker.url, {
      protocolVersion: 5,
      ca: authority.certificatePem,
      cert: signer.certificatePem,
      key: signer.privateKeyPem,
    });
    site.cleanUp(() => client.endAsync(true));
    const publish = (channel: Channel, payload: Buffer | string, retain = false) =>
      client.publishAsync(topicOf(beta, channel), payload, { qos: 1, retain });
    const point = { name: 'power', type: 'float32', unit: 'W' };
    const meta = { v: 1, ...beta, at: 0, version: '1.0.0', configSha256: 'a'.repeat(64) };
    await publish('meta', JSON.stringify({ ...meta, devices: [{ name: 'meter', points: [point] }] }), true);
    const stream = new SealedStream(beta).appendMany(9);
    stream.append([
      {
        device: 'meter',
        ts: 1_763_842_999_007,
        clock: 'estimated',
        values: { power: 65.5, energy: '9007199254740993', name: 'Zähler', on: true },
        quality: { power: 'implausible', voltage: 'exception:2' },
      },
    ]);
    for (const seq of [1, 2, 2, 3]) await publish('telemetry', stream.payload(seq));
    const dropped = await prove(signer, stream.lost('dropped', 4, 5));
    for (let times = 0; times < 2; times += 1) await publish('event', JSON.stringify(dropped));
    await publish('event', JSON.stringify(stream.lost('dropped', 8, 8)));
    await publish('telemetry', zstdCompressSync(stream.payload(6)));
    for (const seq of [7, 9, 10]) await publish('telemetry', stream.payload(seq));
    await publish('checkpoint', await signer.sign(stream.claims(7)), true);
    await publish('checkpoint', await signer.sign(stream.claims(10)), true);
    const forged = await issueSigner(await createAuthority('Test CA'), beta);
    await publish('checkpoint', await forged.sign(stream.claims(9)));
    await publish(
      'telemetry',
      '{"v":1,"tenant":"acme","gateway":"beta_gw-0001","epoch":"E","seq":1,"samples":[]}',
    );
    const done = new SealedStream(beta, '01JD3W5V2K0000000000000009').appendMany(1);
    await publish('telemetry', done.payload(1));

    const last = (rows: readonly Row[]) => rows.some(({ epoch }) => epoch === done.epoch);
    await until(
      () => last(consume.rows) && last(python.rows) && consume.notice('checkpoint-refused'),
      () => `both have all: ${JSON.stringify(python.notices)}`,
    );
    assert.equal(await consume.end(), 0);
    assert.equal(await python.end(), 0);

    assert.deepEqual(sorted(python.rows), sorted(consume.rows));
    assert.equal(consume.rows.filter(({ tenant }) => tenant === 'acme').length, 10 * 13);
    assert.ok(python.rows.some(({ unit }) => unit === 'W'));
    assert.deepEqual(verified(python.notices), verified(consume.notices));
    assert.ok([...verified(python.notices)].some((name) => name.startsWith('acme_gw-0001')));
    assert.deepEqual(
      [...verified(python.notices)].filter((name) => name.startsWith('beta')).map((name) => name.slice(-1)),
      ['1', '2', '3', '6', '7'],
    );
    assert.deepEqual(
      python.of('duplicate').map(({ seq }) => seq),
      [2],
    );
    assert.deepEqual(
      python.of('missing').map(({ epoch, seqs }) => [epoch, seqs]),
      [[stream.epoch, [8]]],
    );
    assert.equal(python.of('dropped').length, 1);
    assert.equal(python.of('event-unsigned').length, 1);
    assert.equal(python.of('broken').length + python.of('forked').length + python.of('text').length, 0);
    const refused = python.of('refused').map(({ topic }) => String(topic).split('/').at(-1));
    assert.deepEqual(refused, ['checkpoint', 'telemetry']);
  });
});
