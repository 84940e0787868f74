import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import type { Daemon } from '../support/daemon.ts';
import { eventually } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { freshSeed, wholeFrom } from '../support/random.ts';
import type { Isolation } from '../../src/status/status.ts';
import { isolations, Site, siloEntry } from '../support/site.ts';

const units = 10;
/** A silo's process outlives its gateway by the time that it needs to stop. */
const killsOf: Record<Isolation, number> = { thread: 20, process: 6 };

describe('a gateway under load', () => {
  for (const isolation of isolations) {
    const kills = killsOf[isolation];
    it(`loses and doubles nothing over ${kills} kill -9 and ${kills / 2} broker restarts (${isolation})`, (t) =>
      live(t, isolation, kills));
  }
});

async function live(t: TestContext, isolation: Isolation, kills: number): Promise<void> {
  const pauseMs = wholeFrom(freshSeed(t));
  const authority = await createAuthority('Test CA');
  await using broker = await Mosquitto.start({ authority });
  await using site = await Site.create(authority);
  const port = await startPlantProcess(site, units);
  await site.issueGateway('plant', 'acme');
  await site.issueBackend();
  await site.configure(`silos:
${siloEntry('plant', broker.url, '', isolation)}    batch: { linger: 50ms }
${plantBus(port)}devices:
${Array.from({ length: units }, (_, index) => plantDevice(`unit-${index + 1}`, index + 1, 'plant')).join('')}`);
  const consumer = site.startConsumer(broker.url);

  let daemon = site.startDaemon();
  for (let round = 0; round < kills; round += 1) {
    await eventually('something stored', async () => (await siloOf(daemon)).samples.stored > 0);
    const takesBroker = round % 2 === 0;
    if (takesBroker) await (round % 4 === 0 ? broker.stop() : broker.kill());
    await new Promise((resolve) => setTimeout(resolve, pauseMs(300)));
    await daemon.stop('SIGKILL');
    daemon = site.startDaemon();
    if (takesBroker) await broker.start();
  }

  const drained = await eventually(
    'an empty spool',
    async () => {
      const { spool } = await siloOf(daemon);
      return spool !== null && spool.seq > 0 && spool.batches < 5 && spool;
    },
    60_000,
  );
  assert.equal(await daemon.stop(), 0);
  const rows = await eventually(
    'every batch at the backend',
    async () => {
      const all = await site.rows();
      return all.some((row) => row.seq >= drained.seq) && all;
    },
    60_000,
  );
  assert.equal(await consumer.stop(), 0, consumer.stderr);

  assert.deepEqual([...new Set(rows.map((row) => row.epoch))], [drained.epoch]);
  const seqs = [...new Set(rows.map((row) => row.seq))].sort((a, b) => a - b);
  assert.deepEqual([seqs[0], seqs.at(-1)], [1, seqs.length], 'a hole in seq');
  for (const row of rows) assert.deepEqual([row.tenant, row.gateway], ['acme', 'acme_gw-0001']);
  assertCountersGrow(rows.filter((row) => row.point === 'requests' && row.value !== null));
  assert.doesNotMatch(consumer.stderr, /"severity":"security"|"kind":"gap"/);
}

/** Each unit counts the requests that it answered: a repeated or decreasing count shows a fault on the way. */
function assertCountersGrow(rows: readonly { device: string; ts: number; value: unknown }[]): void {
  const byDevice = Map.groupBy(rows, (row) => row.device);
  assert.equal(byDevice.size, units);
  for (const [device, own] of byDevice) {
    // A poll that was late may be followed by the next within the same millisecond.
    const inTime = own
      .map((row) => ({ ts: row.ts, count: Number(row.value) }))
      .sort((a, b) => a.ts - b.ts || a.count - b.count);
    for (const [index, { count }] of inTime.entries()) {
      const before = inTime[index - 1]?.count ?? -1;
      assert.ok(count > before, `${device}: ${count} after ${before}`);
    }
  }
}

async function siloOf(daemon: Daemon) {
  return (await daemon.status()).silos[0]!;
}
