import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Container } from '../support/container.ts';
import { eventually } from '../support/daemon.ts';
import { asUnit, Installation, merestone, node, sealKey } from '../support/installation.ts';
import { plantBus, plantDevice } from '../support/plant.ts';

const attempt = await Container.boot();
const whyNot = 'whyNot' in attempt ? attempt.whyNot : false;
/** What `systemd-analyze security` may find; 10 is no sandbox at all. */
const exposureMax = 2;

describe('in a booted Debian', { skip: whyNot }, () => {
  const { container } = attempt as { container: Container };
  let installation: Installation;

  before(async () => {
    installation = await Installation.create(container);
  });
  after(async () => {
    await installation?.[Symbol.asyncDispose]();
    await container.close();
  });

  describe('isolation: thread, by merestone.service', () => {
    const devices = (...names: string[]): string =>
      `devices:\n${names.map((name, index) => plantDevice(name, index + 1, 'north')).join('')}`;
    const configure = (...names: string[]): Promise<void> =>
      installation.configure(
        `silos:\n${installation.siloEntry('north', 'merestone.service')}${plantBus(installation.plantPort)}${devices(...names)}`,
      );

    before(async () => {
      await installation.installUnit('merestone.service');
      await installation.installIdentity('/etc/merestone/identity', 'north', 'acme');
      await configure('boiler');
      await container.expect('systemctl', 'start', 'merestone');
    });

    it('brings readings to the broker', async () => {
      await installation.readings('acme', 'boiler');
      const { state, tenant, isolation } = await installation.silo('north');
      assert.deepEqual([state, tenant, isolation], ['running', 'acme', 'thread']);
    });

    it(`runs with an exposure of ${exposureMax} at most`, async () => {
      assert.ok((await installation.exposure('merestone.service')) <= exposureMax);
    });

    it('applies a changed configuration by systemctl reload', async () => {
      const pid = await container.property('merestone', 'MainPID');
      await configure('boiler', 'chiller');
      await container.expect('systemctl', 'reload', 'merestone');
      await installation.readings('acme', 'chiller');
      assert.equal(await container.property('merestone', 'MainPID'), pid);
    });

    it('is restarted after kill -9, and continues without a gap in seq', async () => {
      await container.expect('systemctl', 'kill', '--kill-whom=main', '--signal=KILL', 'merestone');
      await eventually('a restart', async () => (await container.property('merestone', 'NRestarts')) === '1');
      await installation.readings('acme', 'boiler');
      assert.deepEqual(await installation.seqHoles('acme'), []);
    });

    it('stops at once at a faulty configuration, with the reason', async () => {
      await container.expect('systemctl', 'stop', 'merestone');
      await installation.configure('silos: none\n');
      assert.notEqual((await container.run('systemctl', 'start', 'merestone')).exitCode, 0);
      assert.deepEqual(await ending('merestone'), ['failed', 'exit-code', '78']);
      assert.match(await installation.journal('merestone'), /merestone\.yaml:1:8: 'none' is no list/);
      await configure('boiler');
      await container.expect('systemctl', 'start', 'merestone');
      await installation.readings('acme', 'boiler');
    });

    it('keeps what is in its memory off every disk, and has no debugger for SIGUSR1', async () => {
      assert.equal(await container.property('merestone', 'LimitCORE'), '0');
      assert.equal(await container.property('merestone', 'MemorySwapMax'), '0');
      const pid = await container.property('merestone', 'MainPID');
      await container.expect('systemctl', 'kill', '--signal=USR1', 'merestone');
      await installation.readings('acme', 'boiler');
      assert.equal(await container.property('merestone', 'MainPID'), pid);
      assert.doesNotMatch(await installation.journal('merestone'), /Debugger/);
    });

    it('ignores variables of the manager’s environment that would open it', async () => {
      await container.expect('systemctl', 'set-environment', 'NODE_OPTIONS=--inspect', 'LD_PRELOAD=/no.so');
      await container.expect('systemctl', 'restart', 'merestone');
      await container.expect('systemctl', 'unset-environment', 'NODE_OPTIONS', 'LD_PRELOAD');
      await installation.readings('acme', 'boiler');
      const pid = await container.property('merestone', 'MainPID');
      const environment = await container.expect('cat', `/proc/${pid}/environ`);
      assert.doesNotMatch(environment, /NODE_OPTIONS|LD_PRELOAD/);
    });

    it('stops cleanly', async () => {
      await container.expect('systemctl', 'stop', 'merestone');
      assert.deepEqual(
        await ending('merestone'),
        ['inactive', 'success', '0'],
        await installation.journal('merestone'),
      );
    });

    it('opens its spool only to scripts/as-unit while it is stopped', async () => {
      await opensOffline('merestone', 'north', 'acme');
      await container.expect('systemctl', 'start', 'merestone');
      await installation.readings('acme', 'boiler');
      const running = await container.run(asUnit, 'merestone', 'spool', 'verify');
      assert.equal(running.exitCode, 69);
      assert.match(
        running.stderr,
        /merestone\.service runs, and holds its files; stop it first: systemctl stop/,
      );
      assert.deepEqual(await installation.seqHoles('acme'), []);
      await container.expect('systemctl', 'stop', 'merestone');
    });
  });

  describe('a key to the spools that systemd holds', () => {
    const state = '/var/lib/private/merestone';

    before(async () => {
      await container.expect('systemctl', 'start', 'merestone');
      await installation.readings('acme', 'boiler');
      assert.equal((await installation.silo('north')).spool?.key, 'same-disk');
      await container.expect('systemctl', 'stop', 'merestone');
    });
    after(() => container.expect('systemctl', 'stop', 'merestone'));

    it('is made and sealed by one command, and never over one that is there', async () => {
      const said = await container.expect(sealKey, 'merestone');
      // A container has no TPM.
      assert.match(said, /merestone-kek: sealed by the host's key, which is on the same disk/);
      const sealed = '/etc/credstore.encrypted/merestone-kek';
      const before = await container.expect('cat', sealed);
      assert.doesNotMatch(before, /PRIVATE KEY/);
      assert.equal((await container.expect('stat', '--format=%a', sealed)).trim(), '600');
      const again = await container.run(sealKey, 'merestone.service');
      assert.equal(again.exitCode, 73);
      assert.match(again.stderr, /is there, and spools may be sealed under it/);
      assert.equal(await container.expect('cat', sealed), before);
      assert.equal((await container.run(sealKey, 'ssh')).exitCode, 64);
      const tpm = await container.run(sealKey, 'merestone-silo@other', '--with-key=tpm2');
      assert.equal(tpm.exitCode, 69);
      assert.match(tpm.stderr, /systemd-creds could not seal it/);
      const left = (await container.expect('ls', '-A', '/etc/credstore.encrypted')).trim();
      assert.equal(left, 'merestone-kek', 'nothing half made');
    });

    it('opens at the next start what the file opened before, which then may be deleted', async () => {
      await container.expect('systemctl', 'start', 'merestone');
      await installation.readings('acme', 'boiler');
      assert.equal((await installation.silo('north')).spool?.key, 'credential');
      await container.expect('systemctl', 'stop', 'merestone');
      await container.expect('rm', '-r', `${state}/keys`);
      await container.expect('systemctl', 'start', 'merestone');
      await installation.readings('acme', 'boiler');
      assert.deepEqual(await installation.seqHoles('acme'), []);
      assert.notEqual((await container.run('test', '-e', `${state}/keys`)).exitCode, 0, 'no key on the disk');
    });

    it('is renewed, and opens what the previous one has sealed', async () => {
      const first = await container.expect('cat', '/etc/credstore.encrypted/merestone-kek');
      for (let time = 0; time < 2; time += 1) {
        await container.expect(sealKey, 'merestone', '--renew');
        await container.expect('systemctl', 'restart', 'merestone');
        await installation.readings('acme', 'boiler');
      }
      const sealed = [
        'systemd-creds',
        'decrypt',
        '--name=merestone-kek',
        '/etc/credstore.encrypted/merestone-kek',
      ];
      assert.equal((await container.expect(...sealed, '-')).match(/BEGIN PRIVATE KEY/g)!.length, 2);
      assert.notEqual(await container.expect('cat', '/etc/credstore.encrypted/merestone-kek'), first);
      assert.deepEqual(await installation.seqHoles('acme'), []);
      assert.equal((await container.run(sealKey, 'merestone-silo@other', '--renew')).exitCode, 66);
    });

    it('opens the names in the audit log for root, while it runs', async () => {
      const show = await container.run(merestone, 'audit', 'show', '--kind', 'configuration');
      assert.match(show.stdout, /changes=.*devices\.chiller/);
      const check = await container.run(merestone, 'check');
      assert.doesNotMatch(check.stderr, /key to the spool/);
    });

    it('leaves nothing readable in a copy of the whole state folder, and no name', async () => {
      await container.expect('systemctl', 'stop', 'merestone');
      await container.expect('cp', '-r', `${state}/.`, '/root/copy');
      const names = await container.run('grep', '-raE', 'boiler|chiller|PRIVATE', '/root/copy');
      assert.deepEqual([names.exitCode, names.stdout], [1, '']);
      const [spool] = (await container.expect('sh', '-c', 'echo /root/copy/silos/north/acme/*')).split('\n');
      const opened = await container.run(merestone, 'spool', 'verify', spool!, '--keys', '/root/copy/keys');
      assert.equal(opened.exitCode, 77, opened.stdout);
      assert.match(await container.expect(asUnit, 'merestone', 'spool', 'verify'), /good: tenant acme/);
      assert.equal((await container.run(merestone, 'audit', 'verify', `${spool}/audit`)).exitCode, 0);
      await container.expect('rm', '-r', '/root/copy');
    });
  });

  describe('isolation: process, by merestone-silo@.service', () => {
    const tenants = { north: 'acme', south: 'globex' };
    const names = Object.keys(tenants) as (keyof typeof tenants)[];
    const unitOf = (name: string): string => `merestone-silo@${name}.service`;
    const units = ['merestone.service', ...names.map(unitOf)];
    const more = (name: string): string => `    stateDir: /var/lib/merestone-silo/${name}\n`;

    before(async () => {
      await installation.installUnit('merestone.service');
      await installation.installUnit('merestone-silo@.service');
      await container.expect('rm', '-rf', '/etc/merestone');
      // docs/isolation.md: a silo that was a thread until now takes its state along.
      const floors = '/var/lib/private/merestone-silo';
      await container.expect('install', '-d', floors);
      await container.expect('mv', '/var/lib/private/merestone/silos/north', `${floors}/north`);
      const store = '/etc/credstore.encrypted';
      await container.expect('mv', `${store}/merestone-kek`, `${store}/merestone-kek-north`);
      await container.expect(sealKey, unitOf('south'));
      // A disk of its own for the other; a container has no loop devices, and a tmpfs is a file system as well.
      await container.expect('install', '-d', `${floors}/south`);
      await container.expect(
        'mount',
        '-t',
        'tmpfs',
        '-o',
        'size=40m,nosuid,nodev,noexec',
        'tmpfs',
        `${floors}/south`,
      );
      await container.expect('install', '-d', '-m', '700', '/etc/merestone/identity');
      for (const name of names) {
        await installation.installIdentity(`/etc/merestone/silos/${name}`, name, tenants[name]);
      }
      const silos = names.map((name) => installation.siloEntry(name, unitOf(name), 'process', more(name)));
      const devices = names.map((name, index) => plantDevice('meter', index + 1, name));
      await installation.configure(
        `http: { listen: /run/merestone/http.sock }\nsilos:\n${silos.join('')}${plantBus(installation.plantPort)}devices:\n${devices.join('')}`,
      );
      await container.expect('systemctl', 'enable', '--now', ...units);
    });

    it('brings the readings of both to the broker, each under its own tenant and user', async () => {
      for (const name of names) {
        await installation.readings(tenants[name], 'meter');
        const { state, tenant, isolation } = await installation.silo(name);
        assert.deepEqual([state, tenant, isolation], ['running', tenants[name], 'process']);
        assert.equal((await installation.silo(name)).spool?.key, 'credential');
      }
      const users = await Promise.all(units.map((unit) => container.userOf(unit)));
      assert.equal(new Set(users).size, 3, String(users));
      assert.ok(!users.includes(0));
    });

    it('goes on with the spool of the thread', async () => {
      const rows = await installation.rows(tenants.north);
      assert.deepEqual([...new Set(rows.map(({ device }) => device))], ['boiler', 'chiller', 'meter']);
      assert.equal(new Set(rows.map(({ epoch }) => epoch)).size, 1);
    });

    it(`runs with an exposure of ${exposureMax} at most`, async () => {
      for (const unit of units) assert.ok((await installation.exposure(unit)) <= exposureMax, unit);
    });

    it('leaves the gateway without a key', async () => {
      const readableKeys = async (unit: string): Promise<string> =>
        (
          await container.within(
            unit,
            'find /etc /run /var -name "*.key" -readable -o -name "*-kek*" -readable',
          )
        ).stdout;
      const own = '/run/credentials/merestone-silo@north.service';
      assert.deepEqual((await readableKeys(unitOf('north'))).trim().split('\n').sort(), [
        `${own}/identity_north.key`,
        `${own}/merestone-kek`,
      ]);
      assert.equal(await readableKeys('merestone.service'), '');
    });

    it('gives a silo no access to another one, nor to the gateway', async () => {
      const south = await container.property(unitOf('south'), 'MainPID');
      const own = '/run/credentials/merestone-silo@north.service/identity_north.key';
      const paths = [
        '/etc/merestone/merestone.yaml',
        '/etc/merestone/silos/south/south.key',
        '/run/credentials/merestone-silo@south.service/identity_south.key',
        '/run/credentials/merestone-silo@south.service/merestone-kek',
        '/etc/credstore.encrypted/merestone-kek-south',
        '/var/lib/merestone-silo/south/globex',
        '/var/cache/merestone-silo/south/.',
        '/run/merestone-silo/south/silo.sock',
        `/proc/${south}/environ`,
        `/proc/${south}/mem`,
        '/dev/shm/.',
        '/dev/mqueue/.',
        `/proc/${south}/cwd/.`,
      ];
      assert.equal((await container.within(unitOf('north'), `cat ${own}`)).exitCode, 0);
      for (const path of paths) {
        // It is there, for root: what follows is no typing error.
        await container.expect('test', '-e', path);
        const read = `test -d ${path} && ls ${path} || { test -S ${path} && echo; } || cat ${path}`;
        const { exitCode, stdout } = await container.within(unitOf('north'), read);
        assert.deepEqual([exitCode === 0, stdout], [false, ''], path);
      }
      assert.notEqual((await container.within(unitOf('north'), `kill -0 ${south}`)).exitCode, 0);
    });

    it('answers only the gateway, and no process outside of the sandbox', async () => {
      const connect = (socket: string): string =>
        `${node} -e 'require("net").connect("${socket}").on("error", (e) => console.log(e.code)).on("data", (bytes) => process.stdout.write(bytes))'`;
      const user = String(await container.userOf(unitOf('north')));
      const asNorth = async (socket: string): Promise<string> => {
        const words = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', 'sh', '-c'];
        return container.expect(...words, connect(socket));
      };
      assert.match(await asNorth('/run/merestone-silo/south/silo.sock'), /"away".*only the gateway/);
      assert.match(await asNorth('/run/merestone/control.sock'), /^EACCES/);
      await container.expect('test', '-S', '/run/merestone/http.sock');
      assert.match(await asNorth('/run/merestone/http.sock'), /^EACCES/);
      await eventually('a line in the log of south', async () =>
        (await installation.journal(unitOf('south'))).includes('stranger refused'),
      );
      await installation.readings(tenants.south, 'meter');
    });

    it('restarts a killed silo, and its neighbour is not disturbed', async () => {
      const before = await container.property(unitOf('south'), 'MainPID');
      await container.expect('systemctl', 'kill', '--kill-whom=main', '--signal=KILL', unitOf('north'));
      await eventually(
        'a restart',
        async () => (await container.property(unitOf('north'), 'NRestarts')) === '1',
      );
      for (const name of names) await installation.readings(tenants[name], 'meter');
      assert.equal(await container.property(unitOf('south'), 'MainPID'), before);
      const { restarts, samples } = await installation.silo('south');
      assert.deepEqual([restarts, samples.dropped], [0, {}]);
    });

    it('goes on after the gateway was away', async () => {
      await container.expect('systemctl', 'restart', 'merestone');
      for (const name of names) await installation.readings(tenants[name], 'meter');
      for (const name of names) assert.deepEqual(await installation.seqHoles(tenants[name]), []);
    });

    it('limits a silo with a disk of its own to that disk, for any code in it', async () => {
      const [file, others] = ['/var/lib/merestone-silo/south/fill', '/var/lib/merestone-silo/north/fill'];
      const fill = await container.within(unitOf('south'), `head -c 100M /dev/zero > ${file}`);
      assert.notEqual(fill.exitCode, 0);
      assert.match(fill.stderr, /No space left/);
      await container.expect('sh', '-c', `head -c 100M /dev/zero > ${others} && rm ${others}`);
      await installation.readings(tenants.north, 'meter');
      assert.deepEqual((await installation.silo('north')).samples.dropped, {});
      await container.expect('rm', file);
      await installation.readings(tenants.south, 'meter');
    });

    it('stops cleanly', async () => {
      await container.expect('systemctl', 'stop', ...units);
      for (const unit of units) {
        assert.deepEqual(await ending(unit), ['inactive', 'success', '0'], await installation.journal(unit));
      }
    });

    it('opens the spool of each silo to scripts/as-unit while it is stopped', async () => {
      for (const name of names) await opensOffline(unitOf(name), name, tenants[name]);
      const foreign = await container.run(asUnit, unitOf('north'), 'spool', 'verify', '--silo', 'south');
      assert.equal(foreign.exitCode, 66, foreign.stderr + foreign.stdout);
      assert.match(foreign.stderr, /there is no spool yet/, 'another silo’s is not in its sight');
      await container.expect('systemctl', 'start', ...units);
      for (const name of names) await installation.readings(tenants[name], 'meter');
      await container.expect('systemctl', 'stop', ...units);
    });
  });

  /** Every command works in the unit's place; root by itself is told what to do; nothing stays behind. */
  async function opensOffline(unit: string, silo: string, tenant: string): Promise<void> {
    const offline = (...words: string[]): Promise<string> =>
      container.expect(asUnit, unit, 'spool', ...words, '--silo', silo);
    assert.match(await offline('verify'), new RegExp(`good: tenant ${tenant},`));
    assert.match(await offline('rekey'), /data keys? wrapped to/);
    assert.match(await offline('stats'), new RegExp(`tenant ${tenant}, gateway`));
    for (const line of (await offline('export')).split('\n').filter(Boolean)) {
      assert.equal((JSON.parse(line) as { tenant: string }).tenant, tenant);
    }
    const wrong = await container.run(asUnit, unit, 'spool', 'verify', '/no/such "folder" %n $x');
    assert.equal(wrong.exitCode, 66, wrong.stderr);
    assert.match(wrong.stderr, /\/no\/such "folder" %n \$x: there is no spool in this folder/);
    const byRoot = await container.run(merestone, 'spool', 'verify', '--silo', silo);
    assert.equal(byRoot.exitCode, 77, byRoot.stderr);
    assert.match(byRoot.stderr, /belongs to user \d+, and you are root; .* scripts\/as-unit UNIT spool/);
    const otherUser = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const byOtherUser = await container.run(...otherUser, merestone, 'spool', 'verify', '--silo', silo);
    assert.equal(byOtherUser.exitCode, 77, byOtherUser.stderr);
    assert.match(byOtherUser.stderr, /you may not look into this folder \(EACCES\); .* scripts\/as-unit/);
    const left = await container.expect(
      'sh',
      '-c',
      'ls -d /run/merestone-offline* /run/systemd/system/*offline* || :',
    );
    assert.equal(left, '');
  }

  async function ending(unit: string): Promise<string[]> {
    const names = ['ActiveState', 'Result', 'ExecMainStatus'];
    return Promise.all(names.map((name) => container.property(unit, name)));
  }
});
