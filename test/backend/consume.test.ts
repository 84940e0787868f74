import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { connectAsync, type MqttClient } from 'mqtt';
import type { Row } from '../../src/backend/row.ts';
import { Broker } from '../../src/simulator/broker.ts';
import { createAuthority, type Authority } from '../../src/simulator/certificate-authority.ts';
import { topicOf, type Channel, type Origin } from '../../src/messages/topic.ts';
import { runCommand } from '../support/daemon.ts';
import { Consume, type Document } from '../support/consume.ts';
import { readEvidence } from '../support/evidence.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { freshSeed, wholeFrom } from '../support/random.ts';
import { issueSigner, prove, SealedStream } from '../support/sealed-stream.ts';
import { until } from '../support/until.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

describe('merestone consume, with a real Mosquitto', () => {
  let authority: Authority;
  let broker: Mosquitto;
  let folder: string;
  let gateways: { acme: MqttClient; beta: MqttClient };
  let signer: Awaited<ReturnType<typeof issueSigner>>;
  const running: Consume[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'consume-'));
    authority = await createAuthority('Test CA');
    broker = await Mosquitto.start({ authority });
    const backend = await authority.issue({ organization: 'backend', commonName: 'backend' });
    await writeFile(join(folder, 'backend.crt'), backend.certificatePem);
    await writeFile(join(folder, 'backend.key'), backend.privateKeyPem);
    await writeFile(join(folder, 'ca.crt'), authority.certificatePem);
    signer = await issueSigner(authority, acme);
    gateways = {
      acme: await connectGateway(signer),
      beta: await connectGateway(await issueSigner(authority, beta)),
    };
  });

  afterEach(async () => {
    for (const consume of running.splice(0))
      if (consume.child.exitCode === null) await consume.end('SIGKILL');
  });

  after(async () => {
    await Promise.all(Object.values(gateways).map((client) => client.endAsync(true)));
    await broker.close();
    await rm(folder, { recursive: true });
  });

  function connectGateway(identity: { certificatePem: string; privateKeyPem: string }): Promise<MqttClient> {
    const { certificatePem: cert, privateKeyPem: key } = identity;
    return connectAsync(broker.url, {
      protocolVersion: 5,
      ca: authority.certificatePem,
      cert,
      key,
      reconnectPeriod: 100,
    });
  }

  function access(certificate = 'backend'): string[] {
    const file = (name: string): string => join(folder, name);
    return [
      ['--url', broker.url],
      ['--ca', file('ca.crt')],
      ['--certificate', file(`${certificate}.crt`)],
      ['--private-key', file(`${certificate}.key`)],
    ].flat();
  }

  function consume(...words: string[]): Consume {
    const started = new Consume([...access(), '--trust', join(folder, 'ca.crt'), ...words]);
    running.push(started);
    return started;
  }

  async function publish(
    origin: Origin,
    channel: Channel,
    document: Buffer | string | object,
    retain = false,
  ) {
    const text =
      Buffer.isBuffer(document) || typeof document === 'string' ? document : JSON.stringify(document);
    const client = origin.tenant === 'acme' ? gateways.acme : gateways.beta;
    await client.publishAsync(topicOf(origin, channel), text, { qos: 1, retain });
  }

  async function publishBatches(stream: SealedStream, ...seqs: number[]): Promise<void> {
    for (const seq of seqs) await publish(stream.origin, 'telemetry', stream.payload(seq));
  }

  const freshStream = (() => {
    let epoch = 0;
    return (origin: Origin, batches: number): SealedStream =>
      new SealedStream(origin, `01JD3W5V2K${String(++epoch).padStart(16, '0')}`).appendMany(batches);
  })();

  const meta = (origin: Origin): object => ({
    v: 1,
    ...origin,
    at: 0,
    version: '1.0.0',
    configSha256: 'a'.repeat(64),
    devices: [{ name: 'meter', points: [{ name: 'power', type: 'float32', unit: 'W' }] }],
  });

  for (const protocol of ['5', '3.1.1']) {
    it(`writes rows, drops duplicates, names gaps and verifies the chain on MQTT ${protocol}`, async () => {
      const stream = freshStream(acme, 12);
      await publish(acme, 'meta', meta(acme), true);
      const evidence = join(folder, `evidence-${protocol}`);
      const running = consume('--protocol', protocol, '--gap-after', '1s', '--evidence', evidence);
      await running.connected();
      await publishBatches(stream, 1, 2, 2, 3, 1);
      await publish(acme, 'event', await prove(signer, stream.lost('dropped', 4, 6)));
      await publish(acme, 'telemetry', zstdCompressSync(stream.payload(7)));
      await publishBatches(stream, 8, 10);
      await publish(acme, 'checkpoint', await signer.sign(stream.claims(8)), true);
      await until(() => running.notice('gap'), 'a gap');
      await publishBatches(stream, 9);
      await publish(acme, 'checkpoint', await signer.sign(stream.claims(10)), true);
      await until(() => running.notice('gap-closed'), 'the gap closed');
      await until(() => running.notices.filter(({ kind }) => kind === 'verified').length === 3, 'the chain');
      assert.equal(await running.end(), 0);

      const seqs = running.rows.filter(({ point }) => point === 'power').map(({ seq }) => seq);
      assert.deepEqual(seqs, [1, 2, 3, 7, 8, 10, 9]);
      assert.deepEqual(running.rows[0], {
        ...acme,
        device: 'meter',
        point: 'power',
        value: 1,
        unit: 'W',
        quality: 'good',
        time: '2025-11-22T20:08:44.456Z',
        ts: 1_763_842_124_456,
        epoch: stream.epoch,
        seq: 1,
      });
      assert.deepEqual(running.notice('duplicates')!['batches'], [[1, 2]]);
      assert.equal(running.notice('gap')!['from'], 9);
      assert.equal(running.notice('dropped')!['reason'], 'spool full');
      const verified = running.notices.filter(({ kind }) => kind === 'verified');
      assert.deepEqual(
        verified.map(({ from, to }) => [from, to]),
        [
          [1, 3],
          [7, 8],
          [9, 10],
        ],
      );
      const { rows, batches, duplicates, security, streams } = running.notice('summary')!;
      assert.deepEqual(
        { rows, batches, duplicates, security },
        { rows: 14, batches: 7, duplicates: 2, security: 0 },
      );
      const [kept] = readEvidence(evidence, 0, Date.now());
      const outcomes = kept!.lines.flatMap((line) => ('outcome' in line ? [line.outcome] : []));
      assert.deepEqual(new Set(outcomes), new Set(['signed']));
      // Of the test before, a retained checkpoint is still there.
      assert.deepEqual((streams as Document[]).at(-1), {
        ...acme,
        epoch: stream.epoch,
        received: 7,
        verified: [
          [1, 3],
          [7, 10],
        ],
        missing: [],
      });
    });
  }

  it('speaks to people without --json', async () => {
    const stream = freshStream(acme, 1);
    const done = runCommand(['consume', ...access(), '--tenant', 'acme', '--count', '1', '--seconds', '60']);
    const timer = setInterval(() => void publishBatches(stream, 1), 200);
    const { stdout, stderr, exitCode } = await done;
    clearInterval(timer);
    assert.equal(exitCode, 0, stderr);
    assert.equal(stdout.trim().split('\n').length, 2);
    assert.match(stderr, /^merestone: info connected: listening at mqtts:/);
    assert.match(stderr, /merestone: info summary: 2 rows of 1 batches, .*nothing is missing\n$/);
  });

  it('listens to the tenants that it is told to', async () => {
    const [ofAcme, ofBeta] = [freshStream(acme, 2), freshStream(beta, 2)];
    const running = consume('--tenant', 'beta', '--tenant', 'gamma');
    await running.connected();
    await publishBatches(ofAcme, 1, 2);
    await publishBatches(ofBeta, 1, 2);
    await until(() => running.rows.length === 4, 'rows');
    assert.equal(await running.end('SIGINT'), 0);
    assert.deepEqual([...new Set(running.rows.map(({ tenant }) => tenant))], ['beta']);
  });

  it('refuses what one gateway says in another’s name, and calls it a finding', async () => {
    const stream = freshStream(acme, 3);
    const running = consume();
    await running.connected();
    const forged = Buffer.from(stream.payload(1).toString().replaceAll('acme', 'beta'));
    await publish(acme, 'telemetry', forged);
    await publish(acme, 'telemetry', 'not json');
    await publishBatches(stream, 1);
    await until(() => running.rows.length === 2, 'rows');
    assert.equal(await running.end(), 0);
    const refused = running.notices.filter(({ kind }) => kind === 'telemetry-refused');
    assert.deepEqual(
      refused.map(({ severity, code }) => [severity, code]),
      [
        ['security', 'StreamForeign'],
        ['warning', 'StreamInvalid'],
      ],
    );
    assert.equal(running.notice('summary')!['security'], 1);
  });

  it('loses nothing and doubles nothing when it is killed again and again', async (t) => {
    const seed = freshSeed(t);
    const [repeats, pauses] = [wholeFrom(seed), wholeFrom(seed + 1)];
    const kills = 8;
    const stream = freshStream(acme, 5000);
    const [state, output] = [join(folder, 'kill.state'), join(folder, 'kill.ndjson')];
    const words = ['--client-id', 'killed', '--state', state, '--output', output];
    const lines = async (): Promise<string[]> =>
      (await readFile(output, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
    let running = consume(...words);
    await running.connected();
    const killed = new AbortController();
    const publishing = (async () => {
      let seq = 0;
      while (seq < stream.seq && !killed.signal.aborted) {
        await publishBatches(stream, ++seq);
        if (seq % 3 === 0) await publishBatches(stream, 1 + repeats(seq));
        await new Promise((resolve) => setTimeout(resolve, 8));
      }
      return seq;
    })();
    for (let kill = 0; kill < kills; kill++) {
      // Every other time also in the midst of its start.
      if (kill % 2 === 0) await running.connected();
      await new Promise((resolve) => setTimeout(resolve, pauses(500)));
      await running.end('SIGKILL');
      running = consume(...words);
    }
    killed.abort();
    const batches = await publishing;
    await publish(acme, 'checkpoint', await signer.sign(stream.claims(batches)), true);
    await until(async () => (await lines()).length >= 2 * batches, 'all rows');
    await until(() => running.notice('verified'), 'the verdict');
    assert.equal(await running.end(), 0);
    const rows = (await lines()).map((line) => JSON.parse(line) as Row);
    const seqs = rows.filter(({ point }) => point === 'power').map(({ seq }) => seq);
    assert.deepEqual(
      seqs.toSorted((a, b) => a - b),
      Array.from({ length: batches }, (_, index) => index + 1),
    );
    assert.equal(rows.length, 2 * batches);
    const streams = running.notice('summary')!['streams'] as { epoch: string; verified: unknown }[];
    assert.deepEqual(streams.find(({ epoch }) => epoch === stream.epoch)!.verified, [[1, batches]]);
  });

  it('signs what it keeps, over a kill, and the report finds what is missing of it', async () => {
    const [evidence, heads] = [join(folder, 'signed'), join(folder, 'heads')];
    const words = ['--evidence', evidence, '--heads', heads, '--state', join(folder, 'signed.state')];
    const stream = freshStream(acme, 8);
    const first = consume(...words);
    await first.connected();
    await publishBatches(stream, 1, 2, 3);
    await publish(acme, 'checkpoint', await signer.sign(stream.claims(3)), true);
    await until(() => first.notice('verified'), 'verified');
    await first.end('SIGKILL');
    const months = join(evidence, acme.tenant, acme.gateway);
    const path = join(months, (await readdir(months)).find((name) => name.endsWith('.ndjson'))!);
    await appendFile(path, '{"at":17,"prev":"ha');
    const second = consume(...words);
    await second.connected();
    await publishBatches(stream, 4, 5, 6);
    await publish(acme, 'checkpoint', await signer.sign(stream.claims(6)), true);
    await until(() => second.notice('verified'), 'verified');
    assert.equal(await second.end(), 0);
    assert.equal((await stat(`${evidence}.key`)).mode & 0o777, 0o600);

    const report = (...more: string[]) => {
      const access = ['--evidence', evidence, '--trust', join(folder, 'ca.crt'), '--heads', heads];
      return runCommand(['backend', 'report', '--tenant', 'acme', ...access, ...more]);
    };
    const whole = await report();
    assert.equal(whole.exitCode, 0, whole.stdout);
    assert.match(whole.stdout, /acme_gw-0001: all \d+ lines/);
    assert.match(whole.stdout, new RegExp(`${stream.epoch}: 6 - 6 - 0 = 0`));
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    await writeFile(path, `${lines.slice(0, -1).join('\n')}\n`);
    const cut = await report();
    assert.equal(cut.exitCode, 74);
    assert.match(cut.stdout, /acme_gw-0001: 1 of \d+ lines that were signed .* are gone/);
    // What comes now does not hide it.
    const third = consume(...words);
    await third.connected();
    await publish(acme, 'event', await prove(signer, stream.lost('dropped', 7, 8)));
    await until(() => third.notice('dropped'), 'the event');
    assert.equal(await third.end(), 0);
    const later = await report();
    assert.equal(later.exitCode, 74);
    assert.match(later.stdout, /evidence-cut: \d+ bytes of evidence that a head was signed for are gone/);
    assert.match(later.stdout, /are not those that were signed/);
  });

  it('keeps what it refuses, lists it, and takes it again when it is told to', async () => {
    const stream = freshStream(acme, 2);
    const words = ['--state', join(folder, 'refused.state'), '--client-id', 'refusing'];
    const first = consume(...words);
    await first.connected();
    await publish(acme, 'telemetry', stream.payload(1).toString().replace('"v":1', '"v":2'));
    await publishBatches(stream, 2);
    await until(() => first.notice('telemetry-refused'), 'the finding');
    assert.equal(await first.end(), 0);
    assert.equal(first.notice('telemetry-refused')!['kept'], true);
    const listed = await runCommand([
      'backend',
      'refused',
      '--state',
      join(folder, 'refused.state'),
      '--json',
    ]);
    const messages = JSON.parse(listed.stdout) as { topic: string; reason: string }[];
    assert.deepEqual(
      messages.map(({ topic, reason }) => [topic, reason.slice(0, 3)]),
      [['t/acme/acme_gw-0001/telemetry', 'v: ']],
    );
    const page = await runCommand(['backend', 'refused', '--state', join(folder, 'refused.state')]);
    assert.match(page.stdout, /^\d{4}-.*Z t\/acme\/acme_gw-0001\/telemetry \d+ B: v: .*\n$/);
    const again = consume(...words, '--replay');
    await until(() => again.notice('replay'), 'the replay');
    await until(() => again.notice('telemetry-refused'), 'the finding again');
    assert.equal(again.notice('replay')!['messages'], 1);
    assert.equal(await again.end(), 0);
    const [none, useless] = await Promise.all([
      runCommand(['backend', 'refused', '--state', join(folder, 'none.state')]),
      runCommand(['consume', ...access(), '--replay']),
    ]);
    assert.deepEqual([none.exitCode, useless.exitCode], [66, 64]);
  });

  it('goes on by itself when the broker goes away, and gets what came meanwhile', async () => {
    const stream = freshStream(acme, 20);
    const running = consume('--client-id', 'patient');
    await running.connected();
    await publishBatches(stream, 1, 2);
    await until(() => running.rows.length === 4, 'rows');
    await broker.stop();
    await until(() => running.notice('waiting'), 'waiting');
    await broker.start();
    await publishBatches(stream, 3, 4, 5);
    await until(() => running.rows.length === 10, 'more rows');
    await until(() => running.kinds().filter((kind) => kind === 'connected').length === 2, 'a second time');
    assert.ok(!running.kinds().includes('session-lost'), 'a broker that was stopped has saved it');
    assert.equal(await running.end(), 0);
  });

  it('says so when the broker lost the session that it had granted, also over a restart of its own', async () => {
    const state = join(folder, 'session.state');
    const words = ['--client-id', 'remembering', '--state', state];
    const running = consume(...words);
    await running.connected();
    assert.ok(!running.kinds().includes('session-lost'), 'the first session of all');
    // Killed, it has saved nothing of what was since its start.
    await broker.kill();
    await broker.start();
    await until(() => running.notice('session-lost'), 'the loss is told');
    assert.match(String(running.notice('session-lost')!['message']), /'remembering'.*docs\/brokers\.md/s);
    assert.equal(await running.end(), 0);
    await broker.kill();
    await broker.start();
    const later = consume(...words);
    await until(() => later.notice('session-lost'), 'the loss is told again');
    assert.equal(await later.end(), 0);
  });

  it('says what it waits for, and leaves a node that takes TCP and stays silent', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const started = new Consume(['--url', `mqtts://127.0.0.1:${port}`, ...access()]);
    running.push(started);
    await started.connected();
    const waiting = { severity: 'warning', kind: 'waiting' };
    const { host } = new URL(broker.url);
    assert.deepEqual(started.notices.slice(0, 2), [
      { ...waiting, message: `127.0.0.1:${port} does not answer TLS so far; next is ${host}` },
      { ...waiting, message: `127.0.0.1:${port}: no answer to TLS within 10 s; next is ${host}` },
    ]);
    assert.equal(await started.end(), 0);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('ends quietly when its output is closed', async () => {
    const stream = freshStream(acme, 50);
    const running = consume();
    await running.connected();
    running.child.stdout!.destroy();
    let seq = 0;
    const timer = setInterval(() => void publishBatches(stream, (seq++ % 50) + 1), 20);
    assert.equal(await running.ended(), 0);
    clearInterval(timer);
  });

  it('says what is wrong and ends with the right code', async () => {
    const otherUser = await createAuthority('Stranger CA');
    const outsider = await otherUser.issue({ organization: 'backend', commonName: 'backend' });
    const gateway = await authority.issue({ organization: 'gamma', commonName: 'gamma_gw-0001' });
    for (const [name, issued] of Object.entries({ outsider, gateway })) {
      await writeFile(join(folder, `${name}.crt`), issued.certificatePem);
      await writeFile(join(folder, `${name}.key`), issued.privateKeyPem);
    }
    await writeFile(join(folder, 'stranger.crt'), otherUser.certificatePem);
    await writeFile(join(folder, 'not-a-state'), 'x'.repeat(5000));
    const swap = (words: string[], option: string, value: string): string[] =>
      words.map((word, index) => (words[index - 1] === option ? value : word));
    const cases: [string[], number, RegExp][] = [
      [[], 64, /Missing required arguments/i],
      [swap(access(), '--url', 'mqtt://localhost:1883'), 64, /no mqtts:\/\/ address/],
      [[...access(), '--gap-after', 'soon'], 64, /--gap-after/],
      [[...access(), '--evidence', folder], 64, /--evidence needs --trust/],
      [swap(access(), '--ca', join(folder, 'none.crt')), 66, /none\.crt.*correct the path/],
      [[...access(), '--trust', join(folder, 'none.crt')], 66, /none\.crt/],
      [swap(access(), '--ca', join(folder, 'stranger.crt')), 69, /check --ca/],
      [access('outsider'), 69, /check --certificate/],
      [
        [...swap(access(), '--url', 'mqtts://localhost:1'), '--seconds', '1'],
        69,
        /no connection to .*was made/,
      ],
      [[...access(), '--state', join(folder, 'not-a-state')], 74, /not-a-state: file is not a database/],
      [[...access(), '--output', join(folder, 'none/rows.ndjson')], 74, /rows cannot be written/],
    ];
    await Promise.all(
      cases.map(async ([words, code, reason]) => {
        const { exitCode, stderr, stdout } = await runCommand(['consume', ...words]);
        assert.match(stderr, reason, words.join(' '));
        assert.equal(exitCode, code, stderr);
        assert.equal(stdout, '');
      }),
    );
  });

  it('says so when the broker does not let it read', async () => {
    const server = await authority.issue({ commonName: 'broker', server: { dnsNames: ['localhost'] } });
    const strict = await Broker.start({
      certificate: server.certificatePem,
      privateKey: server.privateKeyPem,
      clientCa: authority.certificatePem,
      backendCommonName: 'another',
    });
    try {
      const words = access().map((word) => (word === broker.url ? `mqtts://localhost:${strict.port}` : word));
      const { exitCode, stderr } = await runCommand([
        'consume',
        ...words,
        '--protocol',
        '3.1.1',
        '--seconds',
        '60',
      ]);
      assert.match(stderr, /does not let us read t\/\+\/\+\/#; let the backend's certificate/);
      assert.equal(exitCode, 69);
    } finally {
      await strict.close();
    }
  });

  it('keeps two consumers from using one state', async () => {
    const state = join(folder, 'shared.state');
    const first = consume('--state', state);
    await first.connected();
    const { exitCode, stderr } = await runCommand(['consume', ...access(), '--state', state]);
    assert.match(stderr, /another consumer uses it/);
    assert.equal(exitCode, 74);
  });
});
