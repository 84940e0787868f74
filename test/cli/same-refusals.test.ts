import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Daemon, eventually, runCommand } from '../support/daemon.ts';
import { createAuthority } from '../support/pki.ts';
import { Site, siloEntry } from '../support/site.ts';

const line = 'kind: modbus-rtu, port: /dev/serial/by-id/none, baudRate: 9600, parity: none';
/** An absent port and an absent broker: both are states, not faults of the file. */
const sound = `buses:
  - { name: rs485, ${line} }
devices:
  - { name: meter, bus: rs485, unitId: 1, every: 1s, points: [{ name: p, table: holding, address: 0, type: int16 }] }
`;

/** One fault of the file of each kind that `check` knows. */
const faulty: [string, string, RegExp][] = [
  ['an unknown key', sound.replace('every', 'evry'), /unknown key 'evry'/],
  ['a host with two readings', sound.replace(line, 'kind: modbus-tcp, host: 10.0.0.010'), /octal/],
  ['a no-break space', sound.replace('unitId: 1', 'unitId:\u00a01'), /U\+00A0/],
  [
    'a line that cannot carry it',
    sound.replace('baudRate: 9600', 'baudRate: 300').replace('every: 1s', 'every: 10ms'),
    /rs485: \d+ % of the line at 300 baud; slow 'meter'/,
  ],
];

describe('check, run and reload', () => {
  let site: Site;
  let daemon: Daemon;
  const configure = (rest: string): Promise<void> =>
    site.configure(`silos:\n${siloEntry('north', 'mqtts://127.0.0.1:1')}${rest}`);
  const command = (name: string) => runCommand([name, '--config', site.config]);

  before(async () => {
    site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    await configure(sound);
    daemon = site.startDaemon();
    await eventually('the daemon answers', async () => (await command('status')).exitCode !== 69);
  });
  after(() => site[Symbol.asyncDispose]());

  for (const [title, rest, words] of faulty) {
    it(`refuse with the same words: ${title}`, async () => {
      await configure(rest);
      const [check, run, reload] = await Promise.all(['check', 'run', 'reload'].map(command));
      assert.deepEqual([check!.exitCode, run!.exitCode, reload!.exitCode], [78, 78, 78]);
      assert.match(check!.stdout, words);
      assert.match(run!.stderr, words);
      assert.match(reload!.stdout, words);
      assert.ok(daemon.running);
    });
  }

  it('warn with the same words of unintended settings, and go on', async () => {
    const rest = sound
      .replace('baudRate: 9600', 'baudRate: 19200')
      .replace(/points: .*\]/, 'profile: eastron-sdm630');
    await configure(rest.replace('every: 1s', 'every: 10s'));
    const words =
      /bus 'rs485' is at 19200 8N1, and what profile 'eastron-sdm630' reads is shipped with 9600 8N1/;
    const check = await command('check');
    assert.deepEqual([check.exitCode, words.test(check.stderr)], [0, true]);
    const reload = await command('reload');
    assert.deepEqual([reload.exitCode, words.test(reload.stderr)], [0, true]);
    const logged = daemon.log.find(({ event }) => event === 'configuration may not be meant so');
    assert.match(String(logged?.['warning']), words);
    const again = await runCommand(['reload', '--json', '--config', site.config]);
    assert.match((JSON.parse(again.stdout) as { warnings: string[] }).warnings[0]!, words);
  });

  it('leave faults of a silo’s files to that silo, without effect on others', async () => {
    await site.configure(
      `silos:\n${siloEntry('north', 'mqtts://127.0.0.1:1')}${siloEntry('south', 'mqtts://127.0.0.1:1')}${sound.replace('unitId', 'silo: north, unitId')}`,
    );
    const check = await command('check');
    assert.equal(check.exitCode, 78);
    assert.match(check.stdout, /south\.crt: there is no certificate here/);
    assert.equal((await command('reload')).exitCode, 0);
    const south = await eventually('south is refused', async () =>
      (await daemon.status()).silos.find(({ name, state }) => name === 'south' && state === 'refused'),
    );
    assert.match(south.reason ?? '', /south\.crt: there is no certificate here/);
  });
});
