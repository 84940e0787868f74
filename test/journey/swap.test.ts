import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import type { Row } from '../../src/backend/row.ts';
import type { Isolation } from '../../src/status/status.ts';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import { isolations, Site, siloEntry } from '../support/site.ts';

/** Two tenants on one bus; what each device's rows must be called is known from its name. */
async function building(broker: Mosquitto, isolation: Isolation): Promise<Site> {
  const site = await Site.create(broker.authority);
  const port = await startPlantProcess(site, 2);
  await site.issueGateway('north', 'acme');
  await site.issueGateway('south', 'borealis');
  await site.issueBackend();
  const silo = (name: string): string =>
    `${siloEntry(name, broker.url, '', isolation)}    batch: { linger: 50ms }\n`;
  await site.configure(`silos:
${silo('north')}${silo('south')}${plantBus(port)}devices:
${plantDevice('acme-unit', 1, 'north')}${plantDevice('borealis-unit', 2, 'south')}`);
  return site;
}

async function exchange(site: Site, first: string, second: string): Promise<void> {
  await rename(site.path(first), site.path('exchange'));
  await rename(site.path(second), site.path(first));
  await rename(site.path('exchange'), site.path(second));
}

function untilStates(daemon: Daemon, ...states: string[]): Promise<string[]> {
  return eventually(`silos ${states.join(' and ')}`, async () => {
    const { silos } = await daemon.status();
    return (
      silos.every((silo, index) => silo.state === states[index]) && silos.map((silo) => silo.reason ?? '')
    );
  });
}

async function untilRows(site: Site, more = 0): Promise<number> {
  const all = await eventually('rows of both tenants', async () => {
    const rows = await site.rows();
    const tenants = new Set(rows.slice(more).map((row) => row.tenant));
    return tenants.size === 2 && rows;
  });
  return all.length;
}

async function assertNothingCrossed(site: Site): Promise<void> {
  for (const row of await site.rows()) {
    assert.equal(row.device, `${row.tenant}-unit`);
    assert.equal(row.gateway, `${row.tenant}_gw-0001`);
  }
}

/** The batches in the spools of a stopped daemon, by tenant. */
async function waitingAtRest(site: Site): Promise<Map<string, TelemetryBatch[]>> {
  const { stdout, stderr, exitCode } = await runCommand(['spool', 'export', '--config', site.config]);
  assert.equal(exitCode, 0, stderr);
  const batches = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as TelemetryBatch);
  return Map.groupBy(batches, ({ tenant }) => tenant);
}

/**
 * The consumer may still write rows of what the broker had before it ended: of batches that had left the spool, and of
 * those that were in flight. Every other row came from a swapped spool.
 */
function assertKnownBefore(
  rows: readonly Row[],
  waiting: ReadonlyMap<string, readonly TelemetryBatch[]>,
  brokerEndedMs: number,
): void {
  for (const { tenant, epoch, seq } of rows) {
    const ofTenant = waiting.get(tenant)!;
    const last = ofTenant.at(-1)!;
    const what = `${tenant} ${epoch}/${seq} was forwarded out of a swapped spool`;
    assert.equal(epoch, last.epoch, what);
    const batch = ofTenant.find((each) => each.seq === seq);
    if (batch === undefined) assert.ok(seq < last.seq, what);
    else assert.ok(batch.samples[0]!.ts <= brokerEndedMs, what);
  }
}

for (const isolation of isolations)
  describe(`two tenants on one bus (${isolation})`, () => {
    it('refuse certificate files that are swapped under the running daemon', async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      await using site = await building(broker, isolation);
      const consumer = site.startConsumer(broker.url);
      const daemon = site.startDaemon();
      await untilRows(site);

      await exchange(site, 'north.crt', 'south.crt');
      await exchange(site, 'north.key', 'south.key');
      daemon.signal('SIGHUP');
      for (const reason of await untilStates(daemon, 'refused', 'refused')) {
        assert.match(reason, /another tenant/);
      }
      const received = (await site.rows()).length;

      await exchange(site, 'north.crt', 'south.crt');
      await exchange(site, 'north.key', 'south.key');
      daemon.signal('SIGHUP');
      await untilStates(daemon, 'running', 'running');
      await untilRows(site, received);
      assert.equal(await daemon.stop(), 0);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      await assertNothingCrossed(site);
    });

    it('refuse spool files that were swapped at rest, and go on when they are put back', async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      await using site = await building(broker, isolation);
      const consumer = site.startConsumer(broker.url);
      const north = 'state/silos/north/acme/acme_gw-0001';
      const south = 'state/silos/south/borealis/borealis_gw-0001';

      let daemon = site.startDaemon();
      await untilRows(site);
      await broker.stop();
      const brokerEndedMs = Date.now();
      await eventually('batches waiting in both spools', async () => {
        const { silos } = await daemon.status();
        return silos.every((silo) => (silo.spool?.batches ?? 0) > 3);
      });
      assert.equal(await daemon.stop(), 0);
      const waiting = await waitingAtRest(site);
      for (const tenant of ['acme', 'borealis']) {
        const unsent = waiting.get(tenant)!.filter(({ samples }) => samples[0]!.ts > brokerEndedMs);
        assert.ok(unsent.length > 0, `${tenant} has nothing that the broker cannot have had`);
      }
      await broker.start();

      await exchange(site, north, south);
      daemon = site.startDaemon();
      for (const reason of await untilStates(daemon, 'refused', 'refused'))
        assert.match(reason, /spool|key/i);
      assert.equal(await daemon.stop(), 0);
      const received = await site.rows();
      assertKnownBefore(received, waiting, brokerEndedMs);

      await exchange(site, north, south);
      daemon = site.startDaemon();
      await untilRows(site, received.length);
      await eventually('empty spools', async () => {
        const { silos } = await daemon.status();
        return silos.every((silo) => silo.spool !== null && silo.spool.batches < 3);
      });
      assert.equal(await daemon.stop(), 0);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      await assertNothingCrossed(site);
      const seqs = Map.groupBy(await site.rows(), (row) => row.tenant);
      for (const [tenant, rows] of seqs) {
        const own = new Set(rows.map((row) => row.seq));
        assert.equal(Math.max(...own), own.size, `${tenant}: a hole in seq`);
      }
    });
  });
