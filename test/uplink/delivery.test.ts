import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import type { Authority, IssuedCertificate } from '../../src/simulator/certificate-authority.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { JsonEncoder } from '../../src/uplink/encoders/json-encoder.ts';
import type { PublishOutcome } from '../../src/uplink/uplink.ts';
import { Mosquitto, mosquittoAcl } from '../support/mosquitto.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';
import { gatewayRequest, hurried, origin, Rig } from './rig.ts';

const root = `t/${origin.tenant}/${origin.gateway}`;
/** What a gateway may do without its own batches and its canary. */
const crippledAcl = [
  `user ${origin.gateway}`,
  `topic readwrite ${root}/status`,
  'user backend',
  'topic read t/#',
];

describe('uplink to a real Mosquitto', () => {
  let authority: Authority;
  let gateway: IssuedCertificate;
  let backend: IssuedCertificate;

  before(async () => {
    authority = await createAuthority('Test CA');
    gateway = await authority.issue(gatewayRequest);
    backend = await authority.issue({ organization: 'acme', commonName: 'backend' });
  });

  /** A subscriber with the backend's certificate; `received` holds what came, in order. */
  async function subscribe(
    broker: Mosquitto,
    options: IClientOptions = {},
  ): Promise<AsyncDisposable & { client: MqttClient; received: IPublishPacket[] }> {
    const client = mqtt.connect(broker.url, {
      protocolVersion: 5,
      cert: backend.certificatePem,
      key: backend.privateKeyPem,
      ca: authority.certificatePem,
      clientId: 'backend',
      reconnectPeriod: 20,
      resubscribe: false,
      ...options,
    });
    const received: IPublishPacket[] = [];
    client.on('error', () => {});
    client.on('message', (_topic, _payload, packet) => received.push(packet));
    await new Promise((resolve) => client.once('connect', resolve));
    await client.subscribeAsync('t/#', { qos: 1 });
    return { client, received, [Symbol.asyncDispose]: () => client.endAsync(true) };
  }

  const texts = (packets: readonly IPublishPacket[], channel: string): string[] =>
    packets.filter(({ topic }) => topic === `${root}/${channel}`).map(({ payload }) => payload.toString());

  describe('uplink with the right permissions', () => {
    let broker: Mosquitto;
    before(async () => {
      broker = await Mosquitto.start({ authority });
    });
    after(() => broker.close());

    it('brings batches in order, many in flight, with their key as properties', async () => {
      await using subscriber = await subscribe(broker);
      await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
      await rig.ready();
      assert.deepEqual(rig.limits, [{ inflightMax: 20, packetBytesMax: undefined }]);
      const key = { ...origin, epoch: '01JD3W5V2K0000000000000000', seq: 7 };
      const payload = Buffer.from('{"v":1}');
      const batch = { key, payload, compressed: zstdCompressSync(payload) };
      const publishes = (['none', 'zstd'] as const).map((compression) => {
        const [request] = new JsonEncoder(origin, { protocol: '5', compression }).telemetry(batch);
        return rig.uplink.publish(request);
      });
      for (let index = 0; index < 200; index += 1) publishes.push(rig.batch(`batch ${index}`));
      const outcomes = await Promise.all(publishes);
      assert.ok(outcomes.every(({ kind }) => kind === 'accepted'));
      await until(() => texts(subscriber.received, 'telemetry').length === 202, 'all 202 have come');
      assert.deepEqual(
        texts(subscriber.received, 'telemetry').slice(2),
        Array.from({ length: 200 }, (_, index) => `batch ${index}`),
      );
      const [plain, compressed] = subscriber.received.filter(({ topic }) => topic === `${root}/telemetry`);
      assert.deepEqual(
        { ...plain!.properties, userProperties: { ...plain!.properties!.userProperties } },
        {
          payloadFormatIndicator: true,
          contentType: 'application/vnd.merestone.telemetry+json',
          userProperties: { ...origin, epoch: key.epoch, seq: '7' },
        },
      );
      assert.equal(plain!.retain, false);
      assert.deepEqual(zstdDecompressSync(compressed!.payload), payload);
      assert.equal(compressed!.properties!.payloadFormatIndicator, undefined);
      assert.equal(compressed!.properties!.userProperties!['content-encoding'], 'zstd');
      const status = rig.uplink.status();
      assert.deepEqual(status.batches, { published: 202, accepted: 202, refused: 0, noSubscribers: 0 });
      assert.equal(status.state, 'online');
      assert.equal(status.reason, null);
      assert.equal(status.inflight, 0);
      assert.ok(status.roundTripMs! > 0);
      assert.ok(status.bytesSent > 202 * 30);
    });

    it('proves and delivers over MQTT 3.1.1', async () => {
      await using subscriber = await subscribe(broker, { protocolVersion: 4 });
      await using rig = new Rig({ url: broker.url, ca: broker.caFile, protocol: '3.1.1' }, gateway);
      await rig.ready();
      const outcomes = await Promise.all(
        Array.from({ length: 300 }, (_, index) => rig.batch(`batch ${index}`)),
      );
      assert.ok(outcomes.every(({ kind }) => kind === 'accepted'));
      await until(() => texts(subscriber.received, 'telemetry').length === 300, 'all 300 have come');
      const canaries = texts(subscriber.received, 'canary');
      assert.equal(new Set(canaries).size, canaries.length);
      // One canary speaks for many batches.
      assert.ok(canaries.length < 100, `${canaries.length} canaries`);
    });

    it('keeps a batch without a subscriber, unless the broker’s rules count as a subscriber', async () => {
      await using keeps = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
      await keeps.ready();
      assert.deepEqual(await keeps.batch('x'), { kind: 'no-subscribers' });
      assert.match(keeps.uplink.status().reason!, /nobody subscribes to t\/acme\/acme_gw-0001\/telemetry/);
      assert.equal(keeps.uplink.status().batches.noSubscribers, 1);
      // A retained message waits on the broker for later subscribers.
      const meta = await keeps.uplink.publish({ channel: 'meta', payload: Buffer.from('{}'), retain: true });
      assert.deepEqual(meta, { kind: 'accepted' });
      await keeps.uplink.stop(2000);
      await using accepts = new Rig({ url: broker.url, ca: broker.caFile, noSubscribers: 'accept' }, gateway);
      await accepts.ready();
      assert.deepEqual(await accepts.batch('x'), { kind: 'accepted' });
    });

    it('leaves a retained status: online while it is, offline after a stop', async () => {
      await using subscriber = await subscribe(broker);
      await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
      await rig.ready();
      const online = JSON.stringify({ v: 1, ...origin, online: true });
      await until(() => texts(subscriber.received, 'status').includes(online), 'online came');
      await rig.uplink.stop(2000);
      assert.equal(rig.uplink.status().state, 'closed');
      assert.equal(rig.losses, 1);
      await using late = await subscribe(broker, { clientId: 'late' });
      const offline = JSON.stringify({ v: 1, ...origin, online: false });
      await until(() => texts(late.received, 'status').includes(offline), 'offline is retained');
      assert.ok(late.received.find(({ topic }) => topic === `${root}/status`)!.retain);
      assert.deepEqual(await rig.batch('x'), { kind: 'unsettled', outstanding: 0, closedByPeer: false });
    });

    it('has the broker publish its will when the connection breaks, and comes back', async () => {
      await using subscriber = await subscribe(broker);
      await using proxy = await TcpProxy.start(broker.port);
      await using rig = new Rig({ url: `mqtts://localhost:${proxy.port}`, ca: broker.caFile }, gateway);
      await rig.ready();
      subscriber.received.length = 0;
      proxy.cut();
      const offline = JSON.stringify({ v: 1, ...origin, online: false });
      await until(() => texts(subscriber.received, 'status').includes(offline), 'the will came');
      await until(() => rig.readies === 2, 'the uplink is back');
      assert.deepEqual(await rig.batch('after'), { kind: 'accepted' });
    });

    it('notices a half-open connection by its keepalive, and leaves nothing in the air', async () => {
      await using _subscriber = await subscribe(broker);
      await using proxy = await TcpProxy.start(broker.port);
      const url = `mqtts://localhost:${proxy.port}`;
      await using rig = new Rig({ url, ca: broker.caFile, keepaliveSeconds: 1 }, gateway);
      await rig.ready();
      proxy.freeze();
      const frozenAt = performance.now();
      const halfOpen = { kind: 'unsettled', outstanding: 2, closedByPeer: false };
      const outcomes = await Promise.all([rig.batch('one'), rig.batch('two')]);
      assert.deepEqual(outcomes, [halfOpen, halfOpen]);
      assert.ok(performance.now() - frozenAt < 15_000);
      await rig.reason(/it no longer answers/);
      proxy.thaw();
      await until(() => rig.readies === 2, 'the uplink is back');
    });

    it('changes to a new certificate without losing a batch', async () => {
      await using subscriber = await subscribe(broker);
      await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
      await rig.ready();
      const renewed = await authority.issue(gatewayRequest);
      const accepted: string[] = [];
      const send = async (text: string): Promise<void> => {
        for (let outcome: PublishOutcome = { kind: 'no-subscribers' }; outcome.kind !== 'accepted'; ) {
          await rig.ready();
          outcome = await rig.batch(text);
        }
        accepted.push(text);
      };
      const sends = Array.from({ length: 20 }, (_, index) => send(`before ${index}`));
      rig.uplink.replaceCredentials(renewed);
      assert.equal(rig.uplink.ready, false);
      await Promise.all([...sends, send('after')]);
      assert.equal(rig.readies, 2);
      assert.equal(rig.uplink.status().connects, 2);
      await until(
        () => accepted.every((text) => texts(subscriber.received, 'telemetry').includes(text)),
        'all have come',
      );
      // In flight at the change, and settled before it: nothing went out twice.
      assert.equal(texts(subscriber.received, 'telemetry').length, 21);
    });
  });

  it('says why nothing is accepted where the ACL denies it, on MQTT 5', async () => {
    await using broker = await Mosquitto.start({ authority, acl: crippledAcl });
    await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
    await rig.ready();
    const outcome = await rig.batch('x');
    assert.deepEqual(outcome, { kind: 'refused', reasonCode: 0x87, reason: 'not authorized (0x87)' });
    const refusal = /^the broker refuses t\/acme\/acme_gw-0001\/telemetry: not authorized/;
    assert.match(rig.uplink.status().reason!, refusal);
    assert.ok(
      rig.log.some(({ level, fields }) => level === 'warn' && refusal.test(String(fields['reason']))),
    );
    assert.equal(rig.uplink.status().batches.refused, 1);
    await using _subscriber = await subscribe(broker);
    await broker.setAcl(mosquittoAcl);
    // Debian's Mosquitto hangs up after each refusal.
    await until(async () => (await rig.batch('x')).kind === 'accepted', 'it is accepted');
    assert.equal(rig.uplink.status().reason, null);
  });

  it('accepts nothing where the ACL denies the canary, on MQTT 3.1.1', async () => {
    await using broker = await Mosquitto.start({ authority, acl: crippledAcl });
    await using rig = new Rig({ url: broker.url, ca: broker.caFile, protocol: '3.1.1' }, gateway, hurried(4));
    const status = await rig.reason(/let this certificate write and read t\/acme\/acme_gw-0001\/#/);
    assert.notEqual(status.state, 'online');
    assert.equal(rig.readies, 0);
    await broker.setAcl(mosquittoAcl);
    await rig.ready();
  });

  it('notices an ACL that changes under a running MQTT 3.1.1 session, before a batch counts', async () => {
    await using broker = await Mosquitto.start({ authority });
    await using subscriber = await subscribe(broker);
    await using rig = new Rig({ url: broker.url, ca: broker.caFile, protocol: '3.1.1' }, gateway, hurried(4));
    await rig.ready();
    assert.deepEqual(await rig.batch('before'), { kind: 'accepted' });
    await broker.setAcl(crippledAcl);
    const outcomes = await Promise.all([rig.batch('denied 1'), rig.batch('denied 2')]);
    assert.deepEqual(new Set(outcomes.map(({ kind }) => kind)), new Set(['unsettled']));
    // In a cluster it may be the node that is gone, and not a right.
    await rig.reason(
      /it let this certificate before: see whether every node .* let this certificate write and read/,
    );
    assert.deepEqual(texts(subscriber.received, 'telemetry'), ['before']);
    await broker.setAcl(mosquittoAcl);
    await rig.ready();
    assert.deepEqual(await rig.batch('after'), { kind: 'accepted' });
  });

  it('names an ACL that denies everything', async () => {
    const acl = ['user nobody', 'topic read nothing'];
    await using broker = await Mosquitto.start({ authority, acl });
    await using five = new Rig({ url: broker.url, ca: broker.caFile }, gateway, hurried(4));
    await five.reason(/the broker refuses t\/acme\/acme_gw-0001\/status: not authorized/);
    await five.uplink.stop(2000);
    await using three = new Rig(
      { url: broker.url, ca: broker.caFile, protocol: '3.1.1' },
      gateway,
      hurried(4),
    );
    await three.reason(/let this certificate write and read/);
  });

  it('never sends what is over the broker’s maximum packet size', async () => {
    await using broker = await Mosquitto.start({ authority, config: ['max_packet_size 2000'] });
    await using _subscriber = await subscribe(broker);
    await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
    await rig.ready();
    assert.equal(rig.limits[0]!.packetBytesMax, 2000);
    assert.deepEqual(await rig.batch('x'.repeat(2000)), { kind: 'too-large', bytesMax: 2000 });
    // Up to the last byte: one more of each would make it 2001.
    const overhead = await largest(rig, 2000);
    assert.ok(overhead < 100, `${overhead}`);
    assert.equal(rig.uplink.status().connects, 1);
  });

  async function largest(rig: Rig, bytesMax: number): Promise<number> {
    for (let bytes = bytesMax; bytes > 0; bytes -= 1) {
      const { kind } = await rig.batch('x'.repeat(bytes));
      if (kind === 'accepted') return bytesMax - bytes;
      assert.equal(kind, 'too-large');
    }
    return NaN;
  }

  it('survives ten restarts of the broker while publishing: what counts as accepted has come', async () => {
    const acl = mosquittoAcl;
    await using broker = await Mosquitto.start({ authority, acl });
    const session = { clean: false, properties: { sessionExpiryInterval: 3600 }, resubscribe: true };
    await using subscriber = await subscribe(broker, session);
    await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway, hurried(8));
    const accepted = new Set<string>();
    let next = 0;
    const stop = new AbortController();
    const { signal } = stop;
    const publisher = async (): Promise<void> => {
      while (!signal.aborted) {
        next += 1;
        const text = `batch ${next}`;
        for (let done = false; !done && !signal.aborted; ) {
          await rig.ready();
          done = (await rig.batch(text)).kind === 'accepted';
          if (done) accepted.add(text);
        }
      }
    };
    const publishers = Array.from({ length: 5 }, publisher);
    for (let round = 0; round < 10; round += 1) {
      const before = accepted.size;
      await until(() => accepted.size > before + 50, 'batches are accepted');
      // A crash of the broker itself loses what it had not passed on: only a clean stop is measured by what came.
      await broker.stop();
      await until(() => !rig.uplink.ready, 'the loss is noticed');
      await broker.start();
    }
    await until(() => rig.readies === 11, 'the uplink is back');
    stop.abort();
    await Promise.all(publishers);
    const missing = (): string[] => {
      const come = new Set(texts(subscriber.received, 'telemetry'));
      return [...accepted].filter((text) => !come.has(text));
    };
    await until(() => missing().length === 0, 'all that was accepted has come').catch((error: Error) => {
      throw new Error(`${error.message}: ${missing().length} of ${accepted.size} missing`);
    });
    assert.equal(rig.losses, 10);
  });

  it('comes back after crashes of the broker, on MQTT 3.1.1 too', async () => {
    await using broker = await Mosquitto.start({ authority });
    await using rig = new Rig({ url: broker.url, ca: broker.caFile, protocol: '3.1.1' }, gateway, hurried(8));
    for (let round = 1; round <= 3; round += 1) {
      await until(() => rig.readies === round, `ready ${round}`);
      const batches = Array.from({ length: 10 }, (_, index) => rig.batch(`${index}`));
      await broker.kill();
      const kinds = new Set((await Promise.all(batches)).map(({ kind }) => kind));
      assert.ok([...kinds].every((kind) => kind === 'accepted' || kind === 'unsettled'));
      await broker.start();
    }
    await until(() => rig.readies === 4, 'ready again');
  });
});
