import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { serviceUser } from '../support/broken-field.ts';
import { eventually, runCommand } from '../support/daemon.ts';
import { fillDisk, makeDisk, whyNoDisk } from '../support/mount.ts';
import { listenFor, serveModbusTcp, sevens } from '../support/scripted-units.ts';
import { Site, siloEntry } from '../support/site.ts';
import { assertTold, rowsOf } from '../support/symptoms.ts';

const rows = rowsOf('The box and its configuration');
const needsRoot = process.getuid?.() === 0 ? false : 'needs root';

/** The faulty text in place of the right one. */
const typos: Readonly<Record<string, readonly [right: string, wrong: string]>> = {
  'Configuration: a key is misspelt': ['privateKey', 'privatKey'],
  'Configuration: a name is not there': ['silo: north', 'silo: nort'],
  'Configuration: the profile is not there': ['eastron-sdm120', 'eastron-sdm72'],
  'Configuration: a duration has no unit that is known': ['every: 1s', 'every: 1 sec'],
  'Configuration: a number is out of range': ['unitId: 1,', 'unitId: 300,'],
  "Configuration: the broker's address is without TLS": ['mqtts://', 'mqtt://'],
  'Configuration: a tab indents it': ['    identity', '\tidentity'],
};

describe('the verdict on a faulty box', () => {
  const authority = createAuthority('Test CA');
  const seen = new Set<string>();
  /** The row of the page, which is then no dead one. */
  const row = (title: string): NonNullable<ReturnType<typeof rows.get>> => {
    seen.add(title);
    return rows.get(title)!;
  };

  /** One meter, one silo, and an unreachable broker. */
  async function createSite(): Promise<Site> {
    const site = await Site.create(await authority);
    await site.issueGateway('north', 'acme');
    return site;
  }

  async function configure(site: Site, http = 0): Promise<void> {
    const port = await serveModbusTcp(site, ({ pdu }) => ({ pdu: sevens(pdu) }));
    const points = 'points: [{ name: flow, table: holding, address: 1, type: uint16 }]';
    await site.configure(`http: { listen: '127.0.0.1:${http}' }
silos:
${siloEntry('north', 'mqtts://127.0.0.1:1')}    batch: { linger: 50ms }
buses:
  - { name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${port} }
devices:
  - { name: unit, silo: north, bus: plant, unitId: 1, every: 200ms, ${points} }
`);
  }

  it('whose disk is full, or read-only', { skip: whyNoDisk('ext4') }, async (t) => {
    const disk = makeDisk(t, 'ext4');
    await using site = await createSite();
    await configure(site);
    await site.moveState(disk.path);
    const daemon = site.startDaemon();
    await eventually('a silo that stores', () => daemon.log.some(({ event }) => event === 'silo runs'));
    fillDisk(`${disk.path}/other`);
    await assertTold(site, daemon, [{ who: 'silo north', row: row('Disk: it is full') }]);
    assert.equal(await daemon.stop(), 0);
    disk.setReadOnly(true);
    const next = site.startDaemon();
    await assertTold(site, next, [{ who: 'silo north', row: row('Disk: it is read-only') }]);
    const { stdout } = await runCommand(['status', '--config', site.config]);
    assert.doesNotMatch(stdout, /data waits on the disk/);
    assert.equal(await next.stop(), 0);
  });

  it('whose state folder is not this user’s', { skip: needsRoot }, async () => {
    await using site = await createSite();
    await configure(site);
    const folder = site.path('forbidden');
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    await site.moveState(folder);
    const daemon = site.startDaemon(serviceUser);
    const title = 'State: this user may not write its folder';
    await assertTold(site, daemon, [{ who: 'silo north', row: row(title) }]);
    assert.equal(await daemon.stop(), 0);
  });

  it('whose HTTP port is taken', async () => {
    await using site = await createSite();
    await configure(site, await listenFor(site, () => {}));
    const { exitCode, stderr, stdout } = await runCommand(['run', '--config', site.config]);
    assert.equal(exitCode, 74);
    assert.match(stdout + stderr, new RegExp(row('HTTP: its port is taken').words, 'm'));
  });

  it('whose configuration has a typing error', async () => {
    await using site = await createSite();
    await configure(site);
    const right = readFileSync(site.config, 'utf8')
      .replace(/points: .*\] \}$/m, 'profile: eastron-sdm120 }')
      .replace('every: 200ms', 'every: 1s')
      .replace('mqtts://127.0.0.1:1', 'mqtts://broker.example.com:1883');
    const { words } = row('Configuration: a key is misspelt');
    assert.doesNotMatch(right, words);
    for (const [title, [good, wrong]] of Object.entries(typos)) {
      assert.ok(right.includes(good), title);
      writeFileSync(site.config, right.replace(good, wrong));
      const { stdout, exitCode } = await runCommand(['check', '--config', site.config]);
      assert.equal(exitCode, 78, title);
      const isSaid = stdout.split('\n').some((line) => row(title).words.test(line));
      assert.ok(isSaid, `${title}: ${stdout}`);
    }
  });

  it('and the page has no other rows', { skip: needsRoot || whyNoDisk('ext4') }, () => {
    assert.deepEqual([...rows.keys()].toSorted(), [...seen].toSorted());
  });
});
