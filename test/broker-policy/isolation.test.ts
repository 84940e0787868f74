import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { mosquitto } from '../../src/broker-policy/mosquitto.ts';
import { nats } from '../../src/broker-policy/nats.ts';
import type { BrokerPolicy, PolicyWriter } from '../../src/broker-policy/policy-file.ts';
import { rabbitmq } from '../../src/broker-policy/rabbitmq.ts';
import { mosquittoBroker, natsBroker, rabbitmqBroker, RunningBroker, type BrokerKind } from './broker.ts';
import { makeTenants, type Tenants } from './tenants.ts';
import { columns, matrixTable, isRefusedBy, type Column } from './matrix.ts';
import { unitsOfLateConsumer } from './late-consumer.ts';
import { reachesOwnTopics, attackNames, attacks, type Environment, type AttackName } from './attacks.ts';

const brokers: Record<Column, { kind: BrokerKind; write: PolicyWriter; protocolVersion: 4 | 5 }> = {
  mosquitto: { kind: mosquittoBroker, write: mosquitto('cn'), protocolVersion: 5 },
  mosquittoSubject: { kind: mosquittoBroker, write: mosquitto('subject'), protocolVersion: 5 },
  rabbitmq: { kind: rabbitmqBroker, write: rabbitmq, protocolVersion: 4 },
  nats: { kind: natsBroker, write: nats, protocolVersion: 4 },
};

let tenants: Tenants;
before(async () => {
  tenants = await makeTenants();
});

for (const column of Object.keys(columns) as Column[]) {
  describe(`isolation of tenants on ${columns[column]}`, () => {
    let broker: RunningBroker;
    let environment: Environment;
    before(async () => {
      const { kind, write, protocolVersion } = brokers[column];
      broker = await RunningBroker.start(kind, (folder) => write(tenants.roster, folder), tenants.material);
      environment = { ...tenants, port: broker.port, ca: tenants.brokerCa, protocolVersion };
    });
    after(() => broker?.[Symbol.asyncDispose]());

    it('lets each gateway reach its own topics, and the backend read them', async () => {
      await reachesOwnTopics(environment, tenants.acme1, 't/acme/acme_gw-0001');
      await reachesOwnTopics(environment, tenants.acme2, 't/acme/acme_gw-0002');
      await reachesOwnTopics(environment, tenants.globex1, 't/globex/globex_gw-0001');
      const constrained = reachesOwnTopics(environment, tenants.initech1, 't/initech/initech_gw-0001');
      // Go refuses every certificate below a critical constraint on directory names, which it does not know.
      if (column === 'nats') await assert.rejects(constrained, /was not let in/);
      else await constrained;
    });

    it('gives a consumer that subscribes later the units and the status of a gateway', async () => {
      const { units, kinds } = await unitsOfLateConsumer(environment);
      assert.equal(units.length, 40);
      const without = units.filter((unit) => unit === null).length;
      if (column === 'rabbitmq') {
        // It gives wildcards nothing that it keeps: `meta` is asked for when the first batch comes.
        assert.ok(without < 20 && units.at(-1) === 'W', units.join());
        assert.equal(kinds.includes('meta-late'), without > 0);
      } else {
        assert.equal(without, 0);
      }
      assert.ok(!kinds.includes('no-meta'));
    });

    for (const attack of attackNames) {
      const refused = isRefusedBy(column, attack);
      it(`${refused ? 'refuses' : 'does not refuse'}: ${attacks[attack].title}`, async () => {
        assert.equal(await attacks[attack].isRefused(environment), refused);
      });
    }
  });
}

describe('a broker without a policy', () => {
  /** What TLS refuses by itself, and the broker's own topics, where Mosquitto keeps no tenant's data. */
  const refusedByTls = new Set<AttackName>([
    'inside',
    'otherUser',
    'forgedConstrained',
    'expired',
    'revoked',
  ]);
  const noPolicy: BrokerPolicy = {
    settings: { name: 'mosquitto.conf', text: 'require_certificate true\nallow_anonymous true\n' },
    files: [],
    refusals: [],
  };

  it('lets every other attack through, so it is the policy that stops them', async () => {
    await using broker = await RunningBroker.start(mosquittoBroker, () => noPolicy, tenants.material);
    const environment: Environment = {
      ...tenants,
      port: broker.port,
      ca: tenants.brokerCa,
      protocolVersion: 5,
    };
    for (const attack of attackNames)
      assert.equal(await attacks[attack].isRefused(environment), refusedByTls.has(attack), attack);
  });
});

describe('docs/brokers.md', () => {
  it('has the table of what was found here', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/brokers.md'), 'utf8');
    assert.ok(page.includes(`\n${matrixTable()}\n`), `the table should be:\n${matrixTable()}`);
  });
});
