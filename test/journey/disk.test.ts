import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { SiloStatus } from '../../src/status/status.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually } from '../support/daemon.ts';
import { fillDisk, makeDisk, whyNoDisk } from '../support/mount.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { Site, siloEntry } from '../support/site.ts';
import { Subscriber } from '../support/subscriber.ts';

describe('a gateway whose disk is full', () => {
  it('forwards live values over kill -9 and a clean stop, and stores again when there is room', {
    skip: whyNoDisk('ext4'),
  }, async (t) => {
    const disk = makeDisk(t, 'ext4');
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
    await site.moveState(join(disk.path, 'state'));
    const consumer = site.startConsumer(broker.url);
    const heard = await Subscriber.open(site, broker.url, 'observer');
    site.cleanUp(() => heard.close());
    const other = join(disk.path, 'other');
    fillDisk(other);

    let daemon = site.startDaemon();
    await liveValues(daemon, heard);
    await daemon.stop('SIGKILL');
    daemon = site.startDaemon();
    await liveValues(daemon, heard);
    assert.equal(await daemon.stop(), 0);
    const [first, second, ...more] = epochsOf(heard, false);
    assert.ok(first !== undefined && second !== undefined && first !== second && more.length === 0);

    daemon = site.startDaemon();
    await liveValues(daemon, heard);
    rmSync(other);
    const recovered = await eventually('a disk that works', async () => {
      const silo = await siloOf(daemon);
      return silo.spool?.disk.state === 'good' && silo;
    });
    assert.deepEqual(recovered.samples.dropped, {});
    await eventually('batches from the disk', () => epochsOf(heard, true).length > 0);
    assert.equal(await daemon.stop(), 0);
    const states = heard.events.flatMap((event) => (event.kind === 'storage-failed' ? event.state : []));
    assert.equal(states.at(-1), 'ended');

    const last = heard.batches.at(-1)!;
    await eventually('all of it at the backend', async () =>
      (await site.rows()).some((row) => row.epoch === last.epoch && row.seq === last.seq),
    );
    assert.equal(await consumer.stop(), 0, consumer.stderr);
    assert.doesNotMatch(consumer.stderr, /"severity":"security"|"kind":"gap"|-refused"/);
    const byEpoch = Map.groupBy(await site.rows(), (row) => row.epoch);
    for (const rows of byEpoch.values()) {
      const seqs = [...new Set(rows.map((row) => row.seq))].toSorted((a, b) => a - b);
      assert.deepEqual([seqs[0], seqs.at(-1)], [1, seqs.length], 'a hole in seq');
    }
    const requests = (await site.rows()).filter((row) => row.point === 'requests' && row.value !== null);
    assert.equal(new Set(requests.map((row) => row.value)).size, requests.length, 'a value came twice');
  });
});

/** Waits until the silo says that its disk fails while values arrive. */
async function liveValues(daemon: Daemon, heard: Subscriber): Promise<void> {
  const before = heard.batches.length;
  const silo = await eventually('a disk that fails', async () => {
    const found = await siloOf(daemon);
    return found.spool?.disk.state === 'failing' && found;
  });
  assert.equal(silo.state, 'running');
  assert.match(silo.spool!.disk.reason!, /is full|no space/i);
  await eventually('live values', () => heard.batches.length > before + 3);
}

function epochsOf({ batches }: Subscriber, durable: boolean): string[] {
  return [
    ...new Set(batches.filter((each) => (each.durable !== false) === durable).map(({ epoch }) => epoch)),
  ];
}

async function siloOf(daemon: Daemon): Promise<SiloStatus> {
  return (await daemon.status()).silos[0]!;
}
