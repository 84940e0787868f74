import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mosquitto } from '../../src/broker-policy/mosquitto.ts';
import { documentLimits, packetBytesMax } from '../../src/messages/document-limits.ts';
import { mosquittoBroker, RunningBroker } from './broker.ts';
import { Party } from './party.ts';
import { makeTenants } from './tenants.ts';

describe('Mosquitto with the printed policy', () => {
  it('takes the longest batch, and keeps nothing of what is longer than the backend takes', async () => {
    const tenants = await makeTenants();
    await using broker = await RunningBroker.start(
      mosquittoBroker,
      (folder) => mosquitto('cn')(tenants.roster, folder),
      tenants.material,
    );
    const enter = async (who: typeof tenants.acme1, clientId: string, protocolVersion: 4 | 5) => {
      const environment = { port: broker.port, ca: tenants.brokerCa, protocolVersion };
      const party = await Party.connect(environment, who, { clientId });
      assert.ok(party, `${clientId} was not let in`);
      return party;
    };
    const topic = 't/acme/acme_gw-0001/checkpoint';
    using backend = await enter(tenants.backend, 'backend', 5);
    const lengths: number[] = [];
    backend.client.on('message', (_topic, payload) => lengths.push(payload.length));
    assert.ok(await backend.subscribe('t/#'));
    {
      using gateway = await enter(tenants.acme1, 'acme_gw-0001', 5);
      await gateway.publish(topic, 'x'.repeat(documentLimits.telemetry.bytesMax), true);
      assert.equal(gateway.ended, false);
    }
    // MQTT 3.1.1 has no way to announce the limit.
    using hostile = await enter(tenants.acme1, 'acme_gw-0001', 4);
    await hostile.publish(topic, 'x'.repeat(packetBytesMax + 1), true);
    assert.equal(hostile.ended, true, 'it is cut off');
    using late = await enter(tenants.acme1, 'acme_gw-0001', 5);
    await late.publish(topic, 'after');
    await backend.receives(`${topic} after`);
    assert.deepEqual(lengths, [documentLimits.telemetry.bytesMax, 5]);
  });
});
