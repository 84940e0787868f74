import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { type Authority, createAuthority } from '../../src/simulator/certificate-authority.ts';
import { brokenField, type BrokenSetUp, serviceUser } from '../support/broken-field.ts';
import { type BrokenSilo, brokenSilos } from '../support/broken-silos.ts';
import { runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Site, siloEntry } from '../support/site.ts';
import { serveModbusTcp, sevens } from '../support/scripted-units.ts';
import { assertTold, rowsOf } from '../support/symptoms.ts';

const needsRoot = process.getuid?.() === 0 ? false : 'needs root';

const head = (site: Site): string =>
  `stateDir: ./state\ncontrol: { socket: ${site.controlSocket} }\nhttp: { listen: '127.0.0.1:0' }\n`;
const list = (lines: readonly string[]): string => lines.map((line) => `  - ${line}\n`).join('');

async function configureField(site: Site, setUps: BrokenSetUp[], brokerUrl: string): Promise<void> {
  await site.issueGateway('plant', 'acme');
  const silos = siloEntry('plant', brokerUrl, 'noSubscribers: accept');
  const buses = list(setUps.flatMap((each) => each.buses));
  const devices = list(setUps.flatMap((each) => each.devices));
  await writeFile(site.config, `${head(site)}silos:\n${silos}buses:\n${buses}devices:\n${devices}`);
}

async function configureSilos(site: Site, silos: BrokenSilo[]): Promise<void> {
  const port = await serveModbusTcp(site, ({ pdu }) => ({ pdu: sevens(pdu) }));
  const entries = silos.map(({ name, url, ca = './ca.crt', trust = './ca.crt', more = '' }) =>
    [
      `  - name: ${name}`,
      `    identity: { certificate: ./${name}.crt, privateKey: ./${name}.key, trust: ${trust} }`,
      `    uplink: { url: '${url}', ca: ${ca}${more} }\n`,
    ].join('\n'),
  );
  // Batches of a kilobyte, for the broker that takes less.
  const points = Array.from(
    { length: 60 },
    (_, index) => `{ name: temperature_${index}, table: holding, address: ${index}, type: uint16 }`,
  ).join(', ');
  const devices = silos.map(
    ({ name }, index) =>
      `{ name: ${name}-unit, silo: ${name}, bus: plant, unitId: ${index + 1}, every: 1s, points: [${points}] }`,
  );
  const bus = `{ name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${port} }`;
  await writeFile(
    site.config,
    `${head(site)}silos:\n${entries.join('')}buses:\n${list([bus])}devices:\n${list(devices)}`,
  );
}

describe('the verdict on faulty installations', { concurrency: true }, () => {
  const authority: Promise<Authority> = createAuthority('Test CA');

  it('in the field', { skip: needsRoot }, async () => {
    await using broker = await Mosquitto.start({ authority: await authority });
    await using site = await Site.create(await authority);
    const rows = rowsOf('Devices, buses and sensors');
    const setUps = await brokenField(site);
    assert.deepEqual(
      setUps.map(({ title }) => title).toSorted(),
      [...rows.keys()].toSorted(),
      'the page has each of them, and no other',
    );
    await configureField(site, setUps, broker.url);
    const check = await runCommand(['check', '--config', site.config]);
    assert.equal(check.exitCode, 0, check.stdout + check.stderr);
    for (const { title } of setUps.filter(({ where }) => where === 'check'))
      assert.ok(
        check.stderr.split('\n').some((line) => rows.get(title)!.words.test(line)),
        `${title}: ${check.stderr}`,
      );
    const daemon = site.startDaemon(serviceUser);
    const live = setUps.filter(({ where }) => where === undefined);
    await assertTold(
      site,
      daemon,
      live.map(({ who, title }) => ({ who, row: rows.get(title)! })),
    );
    assert.equal(await daemon.stop(), 0);
  });

  it('about uplink and identity', async () => {
    await using site = await Site.create(await authority);
    const rows = rowsOf('Uplink and identity');
    const silos = await brokenSilos(site);
    const told = [...silos, { name: 'gone', title: 'Silo: its samples are being lost' }];
    assert.deepEqual(told.map(({ title }) => title).toSorted(), [...rows.keys()].toSorted());
    await configureSilos(site, silos);
    const daemon = site.startDaemon();
    await assertTold(
      site,
      daemon,
      told.map(({ name, title }) => ({ who: `silo ${name}`, row: rows.get(title)! })),
    );
    assert.equal(await daemon.stop(), 0);
  });
});
