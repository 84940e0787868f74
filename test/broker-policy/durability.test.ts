import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { IClientOptions } from 'mqtt';
import { mosquitto } from '../../src/broker-policy/mosquitto.ts';
import { nats } from '../../src/broker-policy/nats.ts';
import type { PolicyWriter } from '../../src/broker-policy/policy-file.ts';
import { rabbitmq } from '../../src/broker-policy/rabbitmq.ts';
import { until } from '../support/until.ts';
import { mosquittoBroker, natsBroker, rabbitmqBroker, RunningBroker, type BrokerKind } from './broker.ts';
import { Party } from './party.ts';
import { makeTenants, type Tenants } from './tenants.ts';

interface Way {
  kind: BrokerKind;
  write: PolicyWriter;
  protocolVersion: 4 | 5;
  count: number;
}

const topic = 't/acme/acme_gw-0001/telemetry';
const arrivalMs = 30_000;

let tenants: Tenants;
before(async () => {
  tenants = await makeTenants();
});

/** The policy without its lines on durability: a broker that isolates tenants, and no more. */
const withoutDurability: PolicyWriter = (roster, directory) => {
  const policy = mosquitto('cn')(roster, directory);
  const kept = policy
    .settings!.text.split('\n')
    .filter((line) => !/^(autosave|max_queued|persistent|set_tcp)/.test(line));
  return { ...policy, settings: { ...policy.settings!, text: kept.join('\n') } };
};

/** The backend is away, `count` batches are acknowledged, the broker is killed: which the backend gets afterwards. */
async function survivors({ kind, write, protocolVersion, count }: Way): Promise<Set<string>> {
  await using broker = await RunningBroker.start(
    kind,
    (folder) => write(tenants.roster, folder),
    tenants.material,
  );
  const environment = { port: broker.port, ca: tenants.brokerCa, protocolVersion };
  const enter = async (who: Tenants['acme1'], clientId: string, options: IClientOptions = {}) => {
    const party = await Party.connect(environment, who, { clientId, ...options });
    assert.ok(party, `${clientId} was not let in`);
    return party;
  };
  const session: IClientOptions = {
    clean: false,
    ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 3600 } }),
  };
  const backend = await enter(tenants.backend, 'backend', session);
  assert.ok(await backend.subscribe('t/#'));
  await backend.leave();

  using gateway = await enter(tenants.acme1, 'acme_gw-0001');
  const publish = (payload: string) => gateway.client.publishAsync(topic, payload, { qos: 1 });
  const batches = Array.from({ length: count }, (_, index) => `batch-${index + 1}`);
  await Promise.all(batches.map(publish));
  // A broker that is single-threaded has finished with what was before when it answers this.
  await publish('last');
  await broker.kill();

  await broker.start();
  using returned = await comesBack(() => enter(tenants.backend, 'backend', session));
  using highWaterMark = await enter(tenants.acme1, 'acme_gw-0001');
  await highWaterMark.publish(topic, 'after');
  const payloads = () => new Set(returned.arrived.map((line) => line.slice(topic.length + 1)));
  await until(() => payloads().has('after'), 'what is sent after the restart', arrivalMs);
  return new Set([...payloads()].filter((payload) => payload.startsWith('batch-')));
}

/** As a backend does, again and again: a queue may be without its leader for a while. */
async function comesBack(enter: () => Promise<Party>): Promise<Party> {
  let returned: Party | undefined;
  await until(
    async () => {
      const party = await enter().catch(() => undefined);
      if (party !== undefined && (await party.subscribe('t/#'))) returned = party;
      else party?.[Symbol.dispose]();
      return returned !== undefined;
    },
    'the backend may subscribe again',
    arrivalMs,
  );
  return returned!;
}

describe('a broker that is killed while the backend is away', () => {
  for (const [name, way] of Object.entries({
    mosquitto: { kind: mosquittoBroker, write: mosquitto('cn'), protocolVersion: 5, count: 1100 },
    rabbitmq: { kind: rabbitmqBroker, write: rabbitmq, protocolVersion: 4, count: 300 },
    nats: { kind: natsBroker, write: nats, protocolVersion: 4, count: 300 },
  } satisfies Record<string, Way>)) {
    it(`has all that it acknowledged, with the policy that is printed: ${name}`, async () => {
      assert.equal((await survivors(way)).size, way.count);
    });
  }

  it('has nothing of it without those lines, and so it is they that keep it', async () => {
    const way: Way = { kind: mosquittoBroker, write: withoutDurability, protocolVersion: 5, count: 20 };
    assert.equal((await survivors(way)).size, 0);
  });
});
