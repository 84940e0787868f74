import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { eventually } from '../support/daemon.ts';
import { Mosquitto, mosquittoAcl } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { Site, siloEntry } from '../support/site.ts';

/** The gateway may connect, and write nothing. */
const denyingAcl = ['user backend', 'topic read t/#'];

describe('a broker that denies the topic', () => {
  for (const protocol of ['5', '3.1.1']) {
    it(`costs no batch, on MQTT ${protocol}: every batch arrives once the topic is granted`, async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority, acl: denyingAcl });
      await using site = await Site.create(authority);
      const port = await startPlantProcess(site, 1);
      await site.issueGateway('plant', 'acme');
      await site.issueBackend();
      const silo = siloEntry('plant', broker.url, `protocol: '${protocol}'`);
      await site.configure(`silos:
${silo}    batch: { linger: 50ms }
${plantBus(port)}devices:
${plantDevice('unit-1', 1, 'plant')}`);
      const consumer = site.startConsumer(broker.url);
      const daemon = site.startDaemon();

      const kept = await eventually('a reason in the status', async () => {
        const { spool, uplink } = (await daemon.status()).silos[0]!;
        if (spool === null || spool.seq < 10 || !uplink?.reason) return undefined;
        return { spool, uplink, reason: uplink.reason };
      });
      assert.equal(kept.spool.batches, kept.spool.seq, 'something left the spool');
      assert.equal(kept.uplink.batches.accepted, 0);
      assert.match(kept.reason, /t\/acme\/acme_gw-0001/);
      const warned = daemon.log.filter((line) => line['level'] === 'warn' && line['silo'] === 'plant');
      assert.ok(warned.length > 0, 'the log says nothing');

      await broker.setAcl(mosquittoAcl);
      // A denied client pauses for up to a minute; reconnecting ends the pause, as it would after any outage.
      // Stopped, not killed: on 3.1.1 nothing would show that the broker forgot its subscribers.
      await broker.stop();
      await broker.start();
      await eventually(
        'every batch that was kept, at the backend',
        async () => {
          const arrived = new Set((await site.rows()).map((row) => row.seq));
          return Array.from({ length: kept.spool.seq }, (_, index) => index + 1).every((seq) =>
            arrived.has(seq),
          );
        },
        90_000,
      );
      assert.equal(await daemon.stop(), 0);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
    });
  }
});
