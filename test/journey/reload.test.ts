import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { describe, it } from 'node:test';
import type { Row } from '../../src/backend/row.ts';
import type { DeviceStatus, Isolation, SiloStatus } from '../../src/status/status.ts';
import type { AuditEntry } from '../../src/audit/audit-entry.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { isolations, Site, siloEntry } from '../support/site.ts';

/** The parts of the building's configuration that a test changes. */
interface Building {
  /** The tenant beside borealis, in the south. */
  silo: 'north' | 'west';
  /** Whose certificate that silo has. */
  certificate: 'north' | 'west';
  quota: string;
  every: string;
  /** One more device of the first silo. */
  more: string;
}

const tenants = { north: 'acme', south: 'borealis', west: 'corvus' };
const asBuilt: Omit<Building, 'certificate'> = {
  silo: 'north',
  quota: '{ samplesPerSecond: 500 }',
  every: '50ms',
  more: '',
};
const by = userInfo().username;
const isRoot = userInfo().uid === 0;

/** Two tenants on one bus, and how to change one's part of the configuration. */
async function building(broker: Mosquitto, isolation: Isolation = 'thread') {
  const site = await Site.create(broker.authority);
  const port = await startPlantProcess(site, 4);
  for (const [silo, tenant] of Object.entries(tenants)) await site.issueGateway(silo, tenant);
  await site.issueBackend();
  const change = (to: Partial<Building> = {}): Promise<void> => {
    const { silo, quota, every, more } = { ...asBuilt, ...to };
    const entry = siloEntry(silo, broker.url, '', isolation).replaceAll(
      `./${silo}.`,
      `./${to.certificate ?? silo}.`,
    );
    const device = plantDevice(`${tenants[silo]}-unit`, silo === 'north' ? 1 : 3, silo, every);
    return site.configure(`silos:
${entry}    batch: { linger: 50ms }
    quota: ${quota}
${siloEntry('south', broker.url, '', isolation)}    batch: { linger: 50ms }
${plantBus(port)}devices:
${device}${plantDevice('borealis-unit', 2, 'south')}${more}`);
  };
  await change();
  return { site, change };
}

async function siloOf(daemon: Daemon, name: string): Promise<SiloStatus> {
  return (await daemon.status()).silos.find((silo) => silo.name === name)!;
}

async function deviceOf(daemon: Daemon, name: string): Promise<DeviceStatus> {
  return (await daemon.status()).buses.flatMap(({ devices }) => devices).find((each) => each.name === name)!;
}

function untilOnline(daemon: Daemon, name: string): Promise<SiloStatus> {
  return eventually(`${name} online`, async () => {
    const silo = await siloOf(daemon, name);
    return silo.uplink?.state === 'online' && (silo.spool?.seq ?? 0) > 3 && silo;
  });
}

async function auditOf(site: Site, silo: string, kind: string): Promise<AuditEntry[]> {
  const words = ['audit', 'show', '--json', '--silo', silo, '--kind', kind, '--config', site.config];
  const { exitCode, stdout, stderr } = await runCommand(words);
  assert.equal(exitCode, 0, stderr);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { directory: string; entry: AuditEntry })
    .map(({ directory, entry }) => ({ ...entry, directory }));
}

/** The plant counts what each unit answered: a count that is missing was read and lost. */
function assertCountsWithoutHole(rows: readonly Row[], device: string): void {
  const own = rows.filter((row) => row.device === device && row.point === 'requests');
  for (const { quality, ts } of own) assert.equal(quality, 'good', `${device} at ${ts}`);
  const counts = own.map(({ value }) => Number(value)).sort((a, b) => a - b);
  const holes = counts.filter((count, index) => index > 0 && count !== counts[index - 1]! + 1);
  assert.deepEqual(holes, [], `${device}: a sample is missing before`);
}

for (const isolation of isolations) {
  describe(`a reload (${isolation})`, () => {
    it("touches the silo whose part changed, and leaves the other's session, stream and samples alone", async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      const { site, change } = await building(broker, isolation);
      await using _ = site;
      const consumer = site.startConsumer(broker.url);
      const daemon = site.startDaemon();
      await untilOnline(daemon, 'north');
      const before = await untilOnline(daemon, 'south');

      await change({ quota: '{ samplesPerSecond: 400 }', every: '40ms' });
      const { exitCode, stdout, stderr } = await runCommand(['reload', '--json', '--config', site.config]);
      assert.equal(exitCode, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), {
        reloaded: true,
        silos: [
          {
            name: 'north',
            outcome: 'restarted',
            changes: ['quota.samplesPerSecond', 'devices.acme-unit.every'],
          },
          { name: 'south', outcome: 'untouched', changes: [] },
        ],
        buses: [{ name: 'plant', outcome: 'changed' }],
      });
      const north = await untilOnline(daemon, 'north');
      assert.equal(north.uplink!.connects, 1, 'north is a new isolate with a new session');
      const after = await eventually('more of south', async () => {
        const silo = await siloOf(daemon, 'south');
        return silo.spool!.seq > before.spool!.seq + 20 && silo;
      });
      assert.equal(after.uplink!.connects, before.uplink!.connects);
      assert.equal(after.uplink!.since, before.uplink!.since);
      assert.equal(after.spool!.epoch, before.spool!.epoch);
      assert.ok(after.samples.received > before.samples.received, 'the same isolate goes on counting');
      assert.deepEqual([after.restarts, after.samples.dropped], [0, {}]);
      assert.deepEqual(north.samples.dropped, {});

      assert.deepEqual((await runCommand(['reload', '--config', site.config])).stdout.split('\n'), [
        'silo north  untouched',
        'silo south  untouched',
        'bus plant   untouched',
        '',
      ]);
      assert.equal(await daemon.stop(), 0);
      const rows = await eventually('every batch at the backend', async () => {
        const all = await site.rows();
        return all.some((row) => row.tenant === 'borealis' && row.seq >= after.spool!.seq) && all;
      });
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      assertCountsWithoutHole(rows, 'borealis-unit');
      for (const row of rows) assert.equal(row.device, `${row.tenant}-unit`);
      for (const own of Map.groupBy(rows, (row) => row.tenant).values()) {
        assert.equal(new Set(own.map((row) => row.epoch)).size, 1);
        const seqs = new Set(own.map((row) => row.seq));
        assert.equal(Math.max(...seqs), seqs.size, 'a hole in seq');
      }

      const [entry, ...rest] = await auditOf(site, 'north', 'configuration');
      assert.deepEqual(rest, []);
      assert.deepEqual(
        [entry!['by'], entry!['changes']],
        [by, ['quota.samplesPerSecond', 'devices.acme-unit.every']],
      );
      const starts = (await auditOf(site, 'north', 'start')).map(({ configSha256 }) => configSha256);
      assert.deepEqual([entry!['previousConfigSha256'], entry!['configSha256']], starts);
      assert.deepEqual(await auditOf(site, 'south', 'configuration'), []);
    });

    it('tells a silo of a device that is added: its isolate, session, stream and counts go on', async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      const { site, change } = await building(broker, isolation);
      await using _ = site;
      const consumer = site.startConsumer(broker.url);
      const daemon = site.startDaemon();
      const before = await untilOnline(daemon, 'north');
      const deviceBefore = await deviceOf(daemon, 'acme-unit');
      const annexe = plantDevice('acme-annexe', 4, 'north').replace(
        'type: uint16 }\n',
        'type: uint16, unit: Cel }\n',
      );
      await change({ more: annexe });
      const { exitCode, stdout, stderr } = await runCommand(['reload', '--config', site.config]);
      assert.equal(exitCode, 0, stderr);
      assert.match(stdout, /^silo north {2}changed {4}devices\.acme-annexe$/m);
      const rows = await eventually('rows of the new device', async () => {
        const all = await site.rows();
        return (
          all.filter(({ device, unit }) => device === 'acme-annexe' && unit === 'Cel').length > 10 && all
        );
      });
      const after = await siloOf(daemon, 'north');
      assert.deepEqual(
        [after.uplink!.connects, after.uplink!.since, after.spool!.epoch, after.restarts],
        [before.uplink!.connects, before.uplink!.since, before.spool!.epoch, 0],
      );
      assert.ok(after.samples.received > before.samples.received);
      assert.ok(after.samples.stored > before.samples.stored);
      assert.deepEqual(after.samples.dropped, {});
      const device = await deviceOf(daemon, 'acme-unit');
      assert.ok(device.samples > deviceBefore.samples && device.requests > deviceBefore.requests);
      assert.equal(await daemon.stop(), 0);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      assertCountsWithoutHole(rows, 'acme-unit');
      assertCountsWithoutHole(rows, 'acme-annexe');
      assert.equal(new Set(rows.filter(({ tenant }) => tenant === 'acme').map(({ epoch }) => epoch)).size, 1);
      const [entry, ...rest] = await auditOf(site, 'north', 'configuration');
      assert.deepEqual([entry!['changes'], rest], [['devices.acme-annexe'], []]);
      assert.equal((await auditOf(site, 'north', 'start')).length, 1);
    });

    it('that gives a silo to another tenant takes no data of the previous one along', async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      const { site, change } = await building(broker, isolation);
      await using _ = site;
      const consumer = site.startConsumer(broker.url);
      const daemon = site.startDaemon();
      await untilOnline(daemon, 'north');
      await change({ certificate: 'west' });
      const { exitCode, stderr } = await runCommand(['reload', '--config', site.config]);
      assert.equal(exitCode, 0, stderr);
      const north = await untilOnline(daemon, 'north');
      assert.equal(north.tenant, 'corvus');
      const rows = await eventually('rows of the new tenant', async () => {
        const own = (await site.rows()).filter(
          (row) => row.device === 'acme-unit' && row.point === 'requests',
        );
        return own.some((row) => row.tenant === 'corvus') && own;
      });
      assert.equal(await daemon.stop(), 0);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      const countsOf = (tenant: string) =>
        rows.filter((row) => row.tenant === tenant).map(({ value }) => Number(value));
      assert.ok(Math.max(...countsOf('acme')) < Math.min(...countsOf('corvus')), 'a reading went over');
      assert.equal(new Set(rows.map(({ value }) => value)).size, rows.length, "a reading is both tenants'");

      const entries = await auditOf(site, 'north', 'configuration');
      assert.deepEqual(
        entries.map((entry) => [entry['directory'], entry['changes']]),
        [
          [
            site.path('state/silos/north/acme/acme_gw-0001/audit'),
            ['identity.certificate', 'identity.privateKey'],
          ],
        ],
      );
    });
  });
}

describe('a reload', () => {
  it('refuses a faulty file as a whole, and tells each tenant only that', async () => {
    const authority = await createAuthority('Test CA');
    await using broker = await Mosquitto.start({ authority });
    const { site, change } = await building(broker);
    await using _ = site;
    const daemon = site.startDaemon();
    const before = [await untilOnline(daemon, 'north'), await untilOnline(daemon, 'south')];

    await change({ quota: '{ samplesPerSecund: 400 }', every: '40 acme-seconds' });
    const reload = (...more: string[]) => runCommand(['reload', '--config', site.config, ...more]);
    const [text, json] = [await reload(), await reload('--json')];
    assert.deepEqual([text.exitCode, json.exitCode], [78, 78]);
    assert.match(text.stdout, /^\/.*merestone\.yaml:8:14: .*samplesPerSecund.*did you mean/m);
    assert.match(text.stdout, /acme-seconds/);
    assert.match(text.stderr, /nothing was touched/);
    const { reloaded, faults } = JSON.parse(json.stdout) as { reloaded: boolean; faults: { line: number }[] };
    assert.deepEqual([reloaded, faults.length, faults[0]!.line], [false, 2, 8]);
    daemon.signal('SIGHUP');
    await eventually('the third refusal in the log', () => {
      const refusals = daemon.log.filter(({ event }) => String(event).startsWith('configuration refused'));
      return refusals.length === 3 && refusals.every(({ reason }) => String(reason).includes('acme-seconds'));
    });

    const after = [await untilOnline(daemon, 'north'), await untilOnline(daemon, 'south')];
    for (const [index, silo] of after.entries()) {
      assert.equal(silo.uplink!.since, before[index]!.uplink!.since);
      assert.ok(silo.samples.received >= before[index]!.samples.received);
    }
    await change();
    assert.equal(await daemon.stop(), 0);
    for (const silo of ['north', 'south']) {
      const refused = await auditOf(site, silo, 'refused-request');
      assert.deepEqual(
        refused.map((entry) => [entry['by'], entry['method'], entry['reason']]),
        [by, by, 'signal'].map((who) => [who, 'reload', 'the configuration has 2 faults']),
      );
      assert.doesNotMatch(JSON.stringify(refused), /acme-seconds|samplesPerSecund/);
    }
  });

  it('starts what is new and ends what is gone, and the rest goes on', async () => {
    const authority = await createAuthority('Test CA');
    await using broker = await Mosquitto.start({ authority });
    const { site, change } = await building(broker);
    await using _ = site;
    const daemon = site.startDaemon();
    const before = await untilOnline(daemon, 'south');
    await untilOnline(daemon, 'north');
    await change({ silo: 'west' });
    daemon.signal('SIGHUP');
    const west = await untilOnline(daemon, 'west');
    assert.equal(west.tenant, 'corvus');
    const { silos, buses } = await daemon.status();
    assert.deepEqual(
      silos.map(({ name }) => name),
      ['west', 'south'],
    );
    assert.deepEqual(buses[0]!.devices.map(({ name }) => name).sort(), ['borealis-unit', 'corvus-unit']);
    const after = await untilOnline(daemon, 'south');
    assert.equal(after.uplink!.since, before.uplink!.since);
    assert.equal(await daemon.stop(), 0);
    const [added] = await auditOf(site, 'west', 'configuration');
    assert.deepEqual(
      [added!['by'], added!['changes'], added!['previousConfigSha256']],
      ['signal', ['added'], null],
    );
    await change();
    const removed = (await auditOf(site, 'north', 'configuration')).at(-1)!;
    assert.deepEqual([removed['by'], removed['changes']], ['signal', ['removed']]);
  });

  it('is refused to another user of the box', {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    const authority = await createAuthority('Test CA');
    await using site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    await site.configure(`silos:\n${siloEntry('north', 'mqtts://localhost:1')}`);
    await chmod(site.folder, 0o755);
    const daemon = site.startDaemon();
    await eventually('an answer', async () => await daemon.status());
    const program = `require('node:net').connect(${JSON.stringify(site.controlSocket)})
      .on('error', ({ code }) => process.stdout.write(code))
      .on('connect', () => process.exit(1))`;
    const otherUser = spawn(process.execPath, ['-e', program], {
      uid: 54_321,
      gid: 54_321,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let answer = '';
    otherUser.stdout.setEncoding('utf8').on('data', (piece: string) => (answer += piece));
    await once(otherUser, 'close');
    assert.equal(answer, 'EACCES');
    assert.equal(await daemon.stop(), 0);
  });
});
