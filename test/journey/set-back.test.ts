import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { SiloStatus } from '../../src/status/status.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { Site, siloEntry } from '../support/site.ts';

describe('a gateway whose state was set back', () => {
  it('is recognised by the checkpoint that the broker keeps, and uses no number twice', async () => {
    const authority = await createAuthority('Test CA');
    await using broker = await Mosquitto.start({ authority });
    await using site = await Site.create(authority);
    const port = await startPlantProcess(site, 1);
    await site.issueGateway('plant', 'acme');
    await site.issueBackend();
    await site.configure(`silos:
${siloEntry('plant', broker.url)}    batch: { linger: 50ms }
${plantBus(port)}devices:
${plantDevice('unit-1', 1, 'plant')}`);
    const consumer = site.startConsumer(broker.url);
    let daemon = site.startDaemon();
    await accepted(daemon, 5);
    assert.equal(await daemon.stop(), 0);
    await cp(site.path('state'), site.path('image'), { recursive: true });
    daemon = site.startDaemon();
    await accepted(daemon, 10);
    const before = (await siloOf(daemon)).spool!;
    assert.equal(await daemon.stop(), 0);

    // The card's image is restored: the folder is consistent in itself.
    await rm(site.path('state'), { recursive: true });
    await cp(site.path('image'), site.path('state'), { recursive: true });
    await broker.stop();
    daemon = site.startDaemon();
    await eventually('batches stored before the session', async () => {
      const { spool } = await siloOf(daemon);
      return spool !== null && spool.seq > 3;
    });
    await broker.start();
    await accepted(daemon, 5);
    const after = (await siloOf(daemon)).spool!;
    assert.notEqual(after.epoch, before.epoch);
    assert.equal(await daemon.stop(), 0);
    assert.ok(daemon.log.some(({ event }) => event === 'spool: set back, a new epoch begins'));

    const rows = await eventually('all of it at the backend', async () => {
      const all = await site.rows();
      return all.some((row) => row.epoch === after.epoch && row.seq >= after.seq) && all;
    });
    assert.equal(await consumer.stop(), 0, consumer.stderr);
    assert.doesNotMatch(consumer.stderr, /"severity":"security"|"kind":"gap"/);
    assert.match(consumer.stderr, /the spool was set back/);
    const requests = rows.filter((row) => row.point === 'requests' && row.value !== null);
    const counts = requests.map((row) => Number(row.value)).toSorted((a, b) => a - b);
    assert.equal(new Set(counts).size, counts.length, 'a value came twice');
    for (const epoch of new Set(rows.map((row) => row.epoch))) {
      const seqs = new Set(rows.filter((row) => row.epoch === epoch).map((row) => row.seq));
      assert.equal(Math.max(...seqs), seqs.size, 'a hole in seq');
    }
  });
});

async function accepted(daemon: Daemon, count: number): Promise<void> {
  await eventually(`${count} batches accepted`, async () => {
    const { uplink } = await siloOf(daemon);
    return uplink !== null && uplink.batches.accepted >= count;
  });
}

async function siloOf(daemon: Daemon): Promise<SiloStatus> {
  return (await daemon.status()).silos[0]!;
}
