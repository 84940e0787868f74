import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connect, type MqttClient } from 'mqtt';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { Site } from '../support/site.ts';
import { SiloProcess } from '../support/isolations.ts';

/**
 * Two tenants on one box, each with words that no one else may ever see: tenant, gateway, label, device. A word of one
 * tenant among the other's data breaks the isolation.
 */
interface Tenant {
  label: string;
  tenant: string;
  gateway: string;
  device: string;
  /** User of its silo's process. */
  uid: number;
}

const tenants: readonly [Tenant, Tenant] = [
  { label: 'larch', tenant: 'acme', gateway: 'acme_gw-7731', device: 'kiln-quokka', uid: 61_301 },
  { label: 'rowan', tenant: 'globex', gateway: 'globex_gw-9942', device: 'vat-narwhal', uid: 61_302 },
];

function wordsOf({ label, tenant, gateway, device }: Tenant): string[] {
  return [label, tenant, gateway, device];
}

const needsRoot = process.getuid!() === 0 ? false : 'only root can start processes under users of their own';

interface Box {
  site: Site;
  broker: Mosquitto;
  daemon: Daemon;
  /** Everything that was published, by tenant: topic, properties and payload as text. */
  heard: Map<string, string[]>;
}

/** `users`: each tenant's folder is its own user's, and the folders above it are open to all. */
async function openBox(
  test: TestContext,
  entry: (tenant: Tenant, brokerUrl: string) => string,
  users = false,
): Promise<Box> {
  const broker = await Mosquitto.start({ authority: await createAuthority('Test CA') });
  const site = await Site.create(broker.authority);
  test.after(async () => {
    await site[Symbol.asyncDispose]();
    await broker.close();
  });
  const port = await startPlantProcess(site, 2);
  for (const { label, tenant, gateway } of tenants) {
    await site.issueGateway(label, tenant, gateway);
    mkdirSync(site.path(label));
    for (const file of [`${label}.crt`, `${label}.key`])
      await rename(site.path(file), site.path(`${label}/${file}`));
    mkdirSync(site.path(`${label}/state`), { mode: 0o700 });
  }
  if (users) giveToUsers(site);
  const heard = await listen(broker, site);
  const devices = tenants.map(({ device, label }, index) => plantDevice(device, index + 1, label));
  await site.configure(
    `silos:\n${tenants.map((tenant) => entry(tenant, broker.url)).join('')}${plantBus(port)}devices:\n${devices.join('')}`,
  );
  const daemon = site.startDaemon();
  const box = { site, broker, daemon, heard };
  await eventually('telemetry, meta, status, event and checkpoint of both', () =>
    tenants.every(({ tenant }) =>
      ['telemetry', 'meta', 'status', 'event', 'checkpoint'].every((channel) =>
        heard.get(tenant)?.some((text) => text.includes(`/${channel} `)),
      ),
    ),
  );
  return box;
}

function giveToUsers(site: Site): void {
  chmodSync(site.folder, 0o711);
  for (const { label, uid } of tenants) {
    const folder = site.path(label);
    chownSync(folder, uid, uid);
    for (const name of readdirSync(folder)) chownSync(join(folder, name), uid, uid);
  }
}

function siloEntry({ label }: Tenant, brokerUrl: string, more: string): string {
  return `  - name: ${label}
    identity: { certificate: ./${label}/${label}.crt, privateKey: ./${label}/${label}.key, trust: ./ca.crt }
    uplink: { url: '${brokerUrl}', ca: ./ca.crt }
    batch: { linger: 50ms }
    stateDir: ./${label}/state
${more}`;
}

async function listen(broker: Mosquitto, site: Site): Promise<Map<string, string[]>> {
  const heard = new Map<string, string[]>();
  const backend = await broker.authority.issue({ organization: 'backend', commonName: 'backend' });
  const client: MqttClient = connect(broker.url, {
    ca: broker.authority.certificatePem,
    cert: backend.certificatePem,
    key: backend.privateKeyPem,
    protocolVersion: 5,
  });
  site.cleanUp(() => client.end(true));
  client.on('message', (topic, payload, { properties }) => {
    const tenant = topic.split('/')[1]!;
    const text = `${topic} ${JSON.stringify(properties ?? {})} ${payload.toString()}`;
    heard.set(tenant, [...(heard.get(tenant) ?? []), text + decodedParts(text)]);
  });
  await new Promise((resolve) => client.once('connect', resolve));
  await client.subscribeAsync('t/#', { qos: 1 });
  return heard;
}

/** The decoded text of the signed parts of a message, which are base64url. */
function decodedParts(text: string): string {
  return [...text.matchAll(/[A-Za-z0-9_-]{40,}/g)]
    .map(([word]) => Buffer.from(word, 'base64url').toString())
    .join();
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

/**
 * What a tenant published, and the names and plain files of its folder (such as the audit log), hold its own words and
 * none of the other's. A spool is sealed, so no word would show here: see assertSpoolsApart.
 */
function assertNothingLeaked({ site, heard }: Box): void {
  for (const [own, other] of [tenants, tenants.toReversed()] as [Tenant, Tenant][]) {
    const published = heard.get(own.tenant)!.join('\n');
    for (const word of wordsOf(own).slice(1)) assert.ok(published.includes(word), `${word} is nowhere`);
    assert.ok(!published.includes(own.label), 'a local label was sent');
    for (const word of wordsOf(other))
      assert.ok(!published.includes(word), `${own.tenant} published ${word}`);
    const files = filesBelow(site.path(own.label));
    assert.ok(files.some((path) => path.endsWith('spool.db')) || files.length > 5, files.join());
    for (const path of files) {
      const content = readFileSync(path, 'latin1') + path.slice(site.folder.length);
      for (const word of wordsOf(other)) assert.ok(!content.includes(word), `${path} holds ${word}`);
    }
  }
  assert.deepEqual([...heard.keys()].toSorted(), tenants.map(({ tenant }) => tenant).toSorted());
}

/** Exports each spool with its silo's key: it holds its own words and none of the other's. Stops the daemon. */
async function assertSpoolsApart({ site, broker, daemon }: Box): Promise<void> {
  broker.freeze();
  await eventually('batches that wait in both spools', async () =>
    (await daemon.status()).silos.every(({ spool }) => spool!.batches > 0),
  );
  assert.equal(await daemon.stop(), 0);
  for (const [own, other] of [tenants, tenants.toReversed()] as [Tenant, Tenant][]) {
    const { exitCode, stdout, stderr } = await runCommand([
      'spool',
      'export',
      '--silo',
      own.label,
      '--config',
      site.config,
    ]);
    assert.equal(exitCode, 0, stderr);
    for (const word of wordsOf(own).slice(1)) assert.ok(stdout.includes(word), `${word} is nowhere`);
    for (const word of wordsOf(other)) assert.ok(!stdout.includes(word), `${own.tenant} stored ${word}`);
  }
}

describe('data of two tenants on one box', () => {
  it('never appears in what the other tenant publishes and stores (thread)', async (test) => {
    const box = await openBox(test, (tenant, url) => siloEntry(tenant, url, ''));
    await assertSpoolsApart(box);
    assertNothingLeaked(box);
  });

  it('never appears in what the other tenant publishes and stores (process)', async (test) => {
    const box = await openBox(test, (tenant, url) => siloEntry(tenant, url, '    isolation: process\n'));
    await assertSpoolsApart(box);
    assertNothingLeaked(box);
  });

  it('never appears in log lines about the other tenant', async (test) => {
    const { daemon } = await openBox(test, (tenant, url) => siloEntry(tenant, url, ''));
    assert.equal(await daemon.stop(), 0);
    for (const [own, other] of [tenants, tenants.toReversed()] as [Tenant, Tenant][]) {
      const lines = daemon.log
        .filter((line) => line['silo'] === own.label)
        .map((line) => JSON.stringify(line));
      assert.ok(lines.length > 0);
      for (const word of wordsOf(other))
        assert.deepEqual(
          lines.filter((line) => line.includes(word)),
          [],
        );
    }
  });
});

describe('silo processes of two tenants under two users', { skip: needsRoot }, () => {
  it('cannot open each other’s files, memory, environment and sockets, but their own', async (test) => {
    const silos = new Map<Tenant, SiloProcess>();
    for (const tenant of tenants) {
      const silo = SiloProcess.real(tenant.uid);
      test.after(() => silo[Symbol.asyncDispose]());
      await silo.start();
      silos.set(tenant, silo);
    }
    const box = await openBox(
      test,
      (tenant, url) => {
        const socket = silos.get(tenant)!.socket;
        return siloEntry(tenant, url, `    isolation: process\n    socket: ${socket}\n`);
      },
      true,
    );
    const { site, daemon } = box;
    assertNothingLeaked(box);

    for (const own of tenants) {
      const [other] = tenants.filter((each) => each !== own) as [Tenant];
      const resources = (tenant: Tenant): string[] => [
        ...filesBelow(site.path(tenant.label)),
        `/proc/${silos.get(tenant)!.pid}/environ`,
        `/proc/${silos.get(tenant)!.pid}/mem`,
        `/proc/${silos.get(tenant)!.pid}/fd/1`,
      ];
      const isKept = (path: string): boolean => !path.endsWith('.crt');
      assert.deepEqual(
        openable(own.uid, resources(other).filter(isKept)),
        [],
        `${own.tenant} opens the other's`,
      );
      const ownOpenable = openable(own.uid, resources(own));
      assert.ok(
        ownOpenable.some((path) => path.endsWith('.key')),
        'a key that its own silo cannot read proves nothing',
      );
      assert.ok(ownOpenable.some((path) => path.endsWith('/environ')));
      // Neither the gateway nor its socket, nor the other's socket.
      assert.deepEqual(openable(own.uid, [`/proc/${daemon.pid}/environ`, `/proc/${daemon.pid}/mem`]), []);
      assert.equal(askStatus(own.uid, site.controlSocket), 'EACCES');
      assert.equal(askStatus(own.uid, silos.get(other)!.socket), 'closed');
      assert.equal(askStatus(own.uid, `${silos.get(other)!.socket}-that-is-not-there`), 'ENOENT');
    }
    const otherUsers = await eventually('both silos log a connection of another user', () => {
      const lines = [...silos.values()].flatMap(({ log }) => log);
      const refused = lines.filter(({ event }) => event === 'stranger refused');
      return refused.length === 2 && refused.map(({ user }) => user);
    });
    assert.deepEqual(new Set(otherUsers), new Set(['61301', '61302']));
    assert.equal(await daemon.stop(), 0);
  });
});

/** Those of the paths that the user can open. */
function openable(uid: number, paths: readonly string[]): string[] {
  const program = `
    const { openSync } = require('node:fs');
    const open = JSON.parse(process.argv[1]).filter((path) => {
      try { openSync(path, 'r'); return true; } catch { return false; }
    });
    console.log(JSON.stringify(open));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program, JSON.stringify(paths)], {
    uid,
    gid: uid,
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as string[];
}

/**
 * The result of connecting to a Unix socket as the user and asking for its status: `answered`, `closed` if the
 * peer accepted and hung up, or the error code if there was no connection at all.
 */
function askStatus(uid: number, socket: string): string {
  const program = `
    const socket = require('node:net').connect(process.argv[1]);
    let end = 'nothing';
    let heard = '';
    socket.on('connect', () => { end = 'closed'; });
    socket.on('error', ({ code }) => { if (end === 'nothing') end = code; });
    socket.on('data', (bytes) => { heard += bytes; end = /away/.test(heard) ? 'closed' : 'answered'; });
    socket.on('close', () => console.log(end));
    socket.write('{"id":1,"method":"status"}\\n');`;
  const { stdout } = spawnSync(process.execPath, ['-e', program, socket], {
    uid,
    gid: uid,
    encoding: 'utf8',
  });
  return stdout.trim();
}
