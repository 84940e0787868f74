import assert from 'node:assert/strict';
import { once, type EventEmitter } from 'node:events';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { Broker, type Refusal } from '../../src/simulator/broker.ts';
import {
  createAuthority,
  type Authority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';

describe('simulated broker with topics per certificate', () => {
  let authority: Authority;
  let broker: Broker;
  let acme: IssuedCertificate;
  let borealis: IssuedCertificate;
  let backend: IssuedCertificate;
  let refusals: Refusal[];
  let clients: MqttClient[];

  before(async () => {
    authority = await createAuthority('Demo CA');
    const server = await authority.issue({ commonName: 'broker', server: { ipAddresses: ['127.0.0.1'] } });
    acme = await authority.issue({ organization: 'acme', commonName: 'acme_gw-0001' });
    borealis = await authority.issue({ organization: 'borealis', commonName: 'borealis_gw-0001' });
    backend = await authority.issue({ organization: 'demo', commonName: 'backend' });
    broker = await Broker.start({
      certificate: server.certificatePem,
      privateKey: server.privateKeyPem,
      clientCa: authority.certificatePem,
      backendCommonName: 'backend',
    });
    broker.onRefused = (refusal) => refusals.push(refusal);
  });
  beforeEach(() => {
    refusals = [];
    clients = [];
  });
  afterEach(() => Promise.all(clients.map((client) => client.endAsync(true))));
  after(() => broker.close());

  function connect(identity: IssuedCertificate, options: IClientOptions = {}): MqttClient {
    const client = mqtt.connect(`mqtts://127.0.0.1:${broker.port}`, {
      protocolVersion: 4,
      cert: identity.certificatePem,
      key: identity.privateKeyPem,
      ca: authority.certificatePem,
      reconnectPeriod: 20,
      ...options,
    });
    client.on('error', () => {});
    clients.push(client);
    return client;
  }

  async function connected(identity: IssuedCertificate, options?: IClientOptions): Promise<MqttClient> {
    const client = connect(identity, options);
    await once(client as unknown as EventEmitter, 'connect');
    return client;
  }

  it('carries a tenant’s messages to the backend', async () => {
    const reader = await connected(backend);
    await reader.subscribeAsync('t/#', { qos: 1 });
    const writer = await connected(acme);
    void writer.publishAsync('t/acme/acme_gw-0001/telemetry', 'hello', { qos: 1 });
    const [topic, payload] = (await once(reader as unknown as EventEmitter, 'message')) as [string, Buffer];
    assert.deepEqual([topic, payload.toString()], ['t/acme/acme_gw-0001/telemetry', 'hello']);
    assert.deepEqual(refusals, []);
  });

  for (const [what, topic] of [
    ['another tenant’s topic', 't/borealis/borealis_gw-0001/telemetry'],
    ['another gateway of its own tenant', 't/acme/acme_gw-0002/telemetry'],
    ['a name that merely begins like its own', 't/acme/acme_gw-00011/telemetry'],
    ['a topic outside the tree', 'telemetry'],
  ] as const) {
    it(`disconnects a client that publishes to ${what}`, async () => {
      const reader = await connected(backend);
      await reader.subscribeAsync('#', { qos: 1 });
      const heard: string[] = [];
      reader.on('message', (topic) => heard.push(topic));
      const writer = await connected(acme, { reconnectPeriod: 0 });
      writer.publish(topic, 'attacker', { qos: 1 });
      await closed(writer);
      const own = await connected(borealis);
      await own.publishAsync('t/borealis/borealis_gw-0001/telemetry', 'owner', { qos: 1 });
      while (heard.length === 0) await once(reader as unknown as EventEmitter, 'message');
      assert.deepEqual(heard, ['t/borealis/borealis_gw-0001/telemetry']);
      assert.deepEqual(refusals, [{ tenant: 'acme', gateway: 'acme_gw-0001', action: 'publish', topic }]);
    });
  }

  for (const filter of [
    't/borealis/borealis_gw-0001/telemetry',
    't/#',
    '#',
    't/acme/+/telemetry',
    't/+/acme_gw-0001/x',
  ]) {
    it(`grants a gateway no subscription to ${filter}`, async () => {
      const client = await connected(acme);
      await assert.rejects(client.subscribeAsync(filter, { qos: 1 }));
      assert.deepEqual(
        refusals.map((refusal) => refusal.topic),
        [filter],
      );
    });
  }

  it('grants a gateway its own topics', async () => {
    const client = await connected(acme);
    const [grant] = await client.subscribeAsync('t/acme/acme_gw-0001/canary', { qos: 1 });
    assert.equal(grant?.qos, 1);
  });

  it('refuses a client whose will is for another certificate’s topic', async () => {
    const topic = 't/borealis/borealis_gw-0001/status';
    const client = connect(acme, {
      reconnectPeriod: 0,
      will: { topic, payload: Buffer.from('x'), qos: 1, retain: true },
    });
    await closed(client);
    assert.deepEqual(refusals, [{ tenant: 'acme', gateway: 'acme_gw-0001', action: 'will', topic }]);
  });

  it('refuses a client without a certificate, or with one that names no tenant', async () => {
    const nameless = await authority.issue({ commonName: 'acme_gw-0001' });
    const foreign = await (await createAuthority('Other CA')).issue({
      organization: 'acme',
      commonName: 'acme_gw-0001',
    });
    for (const identity of [nameless, foreign, undefined]) {
      const client = connect(identity ?? { certificatePem: '', privateKeyPem: '' }, { reconnectPeriod: 0 });
      let accepted = false;
      client.on('connect', () => (accepted = true));
      await closed(client);
      assert.equal(accepted, false);
    }
  });

  it('does not let one certificate take over the session of another by its client id', async () => {
    const first = await connected(acme, { clientId: 'same' });
    await connected(borealis, { clientId: 'same' });
    await first.publishAsync('t/acme/acme_gw-0001/telemetry', 'still here', { qos: 1 });
  });

  it('keeps what it acknowledged while it is away', async () => {
    const session = { clientId: 'ledger', clean: false };
    const reader = await connected(backend, session);
    await reader.subscribeAsync('t/#', { qos: 1 });
    await reader.endAsync(true);
    const writer = await connected(acme);
    await writer.publishAsync('t/acme/acme_gw-0001/telemetry', 'kept', { qos: 1 });
    const port = broker.port;
    const away = closed(writer);
    await broker.stop();
    await away;
    assert.equal(broker.listening, false);
    await broker.listen();
    assert.equal(broker.port, port);
    const again = connect(backend, session);
    const [, payload] = (await once(again as unknown as EventEmitter, 'message')) as [string, Buffer];
    assert.equal(payload.toString(), 'kept');
  });
});

/** `once` of node:events would reject on the error that comes before. */
function closed(client: MqttClient): Promise<unknown> {
  return new Promise((resolve) => client.once('close', () => resolve(undefined)));
}
