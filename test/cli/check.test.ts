import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { runCommand } from '../support/daemon.ts';
import { createAuthority } from '../support/pki.ts';
import { Site, siloEntry } from '../support/site.ts';
import { examine } from '../../src/cli/examination.ts';
import { formatFault } from '../../src/config/fault-line.ts';

const dayMs = 86_400_000;
const plant = `buses:
  - { name: plant, kind: modbus-tcp, host: 127.0.0.1 }
devices:
  - { name: meter, silo: north, bus: plant, unitId: 1, points: [{ name: p, table: coil, address: 0 }] }
`;

describe('check', () => {
  let site: Site;
  before(async () => {
    site = await Site.create(await createAuthority('Test CA'));
  });
  beforeEach(async () => {
    await site.issueGateway('north', 'acme');
    await site.issueGateway('south', 'globex');
  });
  after(() => site[Symbol.asyncDispose]());

  const configure = (silos: string[], rest = plant): Promise<void> =>
    site.configure(
      `silos:\n${silos.map((name) => siloEntry(name, 'mqtts://127.0.0.1:8883')).join('')}${rest}`,
    );
  /** Faults as `LINE:COLUMN: …`, with the site's folder taken out. */
  const faultsOf = (nowMs = Date.now()): string[] =>
    examine(site.config, nowMs).faults.map((fault) =>
      formatFault(fault)
        .slice(site.config.length + 1)
        .replaceAll(site.folder, ''),
    );

  it('shows the identity of each silo and its end, exit 0', async () => {
    await configure(['north', 'south']);
    const { exitCode, stdout, stderr } = await runCommand(['check', '--config', site.config]);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /^north: tenant acme, gateway acme_gw-0001, 1 device, certificate good for \d+ days$/m,
    );
    assert.match(stdout, /^south: tenant globex, gateway globex_gw-0001, 0 devices,/m);
    assert.match(stderr, /silo 'south' has no devices/);
  });

  it('prints each fault as one line, exit 78', async () => {
    await configure(['north'], plant.replace('unitId: 1', 'unitId: 256').replace('host', 'hots'));
    const { exitCode, stdout } = await runCommand(['check', '--config', site.config]);
    assert.equal(exitCode, 78);
    const lines = stdout.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => line.slice(site.config.length)),
      [
        ":8:5: 'host' is missing; add it: name or address of the device or converter",
        ":8:38: unknown key 'hots'; did you mean 'host'?",
        ':10:53: 256 is out of range; write at most 255',
      ],
    );
  });

  it('prints all of it as one JSON document', async () => {
    await configure(['north'], plant.replace('silo: north', 'silo: nroth'));
    const bad = await runCommand(['check', '--json', '--config', site.config]);
    assert.equal(bad.exitCode, 78);
    assert.deepEqual(JSON.parse(bad.stdout), {
      good: false,
      faults: [
        {
          file: site.config,
          line: 10,
          column: 26,
          message: "there is no silo 'nroth'",
          hint: "there is 'north'",
        },
      ],
      warnings: [],
      silos: [],
    });
  });

  it('points at the key whose file is wrong', async () => {
    await configure(['north']);
    copyFileSync(site.path('south.key'), site.path('north.key'));
    assert.deepEqual(faultsOf(), [
      '5:55: /north.key: this is not the key of /north.crt; put the key beside the certificate that was issued for it (E304)',
    ]);
    rmSync(site.path('north.key'));
    assert.match(faultsOf()[0]!, /^5:55: \/north\.key: there is no private key here/);
    rmSync(site.path('north.crt'));
    const faults = faultsOf();
    assert.match(faults[0]!, /^5:30: \/north\.crt: there is no certificate here/);
    assert.match(faults[1]!, /^5:55: \/north\.key: there is no such file/);
  });

  it('checks the CA of the broker and the trusted CA', async () => {
    await site.configure(
      `silos:\n${siloEntry('north', 'mqtts://b').replace('trust: ./ca.crt', 'trust: ./north.crt').replace('ca: ./ca.crt', 'ca: ./no.crt')}${plant}`,
    );
    const faults = faultsOf();
    assert.match(faults[0]!, /^5:\d+: .*E302/);
    assert.match(faults[1]!, /^6:\d+: \/no\.crt: there is no CA certificate here; copy the CA certificate/);
  });

  it('refuses an expired certificate, and warns a month before', async () => {
    await configure(['north']);
    const { notAfter } = examine(site.config, Date.now()).silos[0]!;
    assert.match(faultsOf(notAfter + 1000)[0]!, /^5:30: .*expired.*E303/);
    const { faults, warnings } = examine(site.config, notAfter - 10.5 * dayMs);
    assert.deepEqual([faults, warnings], [[], ["silo 'north': its certificate has 10 days left; renew it"]]);
  });

  it('warns of a line that is set otherwise than the device is shipped, exit 0', async () => {
    const line = (bus: string): string =>
      `buses:\n  - { name: rs485, kind: modbus-rtu, port: /dev/ttyUSB9${bus} }\ndevices:\n` +
      '  - { name: m1, silo: north, bus: rs485, unitId: 1, profile: eastron-sdm630, every: 10s }\n' +
      '  - { name: m2, silo: north, bus: rs485, unitId: 2, profile: eastron-sdm630, every: 10s }\n';
    await configure(['north'], line(''));
    const { exitCode, stdout, stderr } = await runCommand(['check', '--config', site.config]);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^north: tenant acme/);
    const said = stderr.split('\n').filter((text) => text.includes('shipped'));
    assert.equal(said.length, 1, 'once for all devices of a profile');
    assert.ok(
      said[0]!.includes(
        `${site.config}:10:62: bus 'rs485' is at 19200 8E1, and what profile 'eastron-sdm630' reads is shipped with 9600 8N1; if it does not answer, set one as the other is`,
      ),
      said[0],
    );
    await configure(['north'], line(', baudRate: 9600, parity: none'));
    assert.deepEqual(examine(site.config, Date.now()).warnings, []);
    for (const [other, words] of [
      [', baudRate: 9600', '9600 8E1'],
      [', baudRate: 9600, parity: none, stopBits: 2', '9600 8N2'],
    ] as const) {
      await configure(['north'], line(other));
      assert.match(examine(site.config, Date.now()).warnings.join(), new RegExp(`is at ${words},`));
    }
  });

  it('does not warn of a line behind a converter', async () => {
    const rest = plant
      .replace('modbus-tcp', 'modbus-rtu-over-tcp')
      .replace(/points: .*\]/, 'profile: eastron-sdm630');
    await configure(['north'], rest);
    assert.deepEqual(examine(site.config, Date.now()).warnings, []);
  });

  it('refuses a CA of the broker that the uplink could not read', async () => {
    await configure(['north']);
    const ca = readFileSync(site.path('ca.crt'), 'utf8');
    writeFileSync(site.path('broker.crt'), ca.replaceAll('\n', '\\n'));
    await site.configure(
      `silos:\n${siloEntry('north', 'mqtts://b').replace(/ca: \.\/ca\.crt \}/, 'ca: ./broker.crt }')}${plant}`,
    );
    assert.match(faultsOf()[0]!, /^6:\d+: \/broker\.crt: holds a certificate that is damaged/);
    writeFileSync(site.path('broker.crt'), new X509Certificate(ca).raw);
    assert.match(
      faultsOf()[0]!,
      /^6:\d+: \/broker\.crt: .*it is a certificate in DER; turn it into PEM: openssl x509 -inform DER -in \/broker\.crt/,
    );
  });

  it('refuses one gateway in two silos', async () => {
    await configure(['north', 'south']);
    copyFileSync(site.path('north.crt'), site.path('south.crt'));
    copyFileSync(site.path('north.key'), site.path('south.key'));
    assert.match(faultsOf()[0]!, /^8:30: silo 'north' is the same gateway/);
  });

  it('warns of a key that others may read', async () => {
    await configure(['north']);
    chmodSync(site.path('north.key'), 0o644);
    assert.match(examine(site.config, Date.now()).warnings.join(), /others may read .*north\.key; chmod 600/);
  });

  it('explains the place of the key to the spool, without a fault', async () => {
    await configure(['north']);
    const { exitCode, stderr } = await runCommand(['check', '--config', site.config]);
    assert.equal(exitCode, 0);
    assert.match(
      stderr,
      /silo 'north': the key to the spool is a file on the same disk: .*; seal it with scripts\/seal-key/,
    );
    assert.equal(examine(site.config, Date.now()).silos[0]!.spoolKey, 'same-disk');
    const spool = site.path('state/silos/north/acme/acme_gw-0001');
    mkdirSync(spool, { recursive: true });
    writeFileSync(join(spool, 'key-encryption-key.pem'), '');
    assert.equal(examine(site.config, Date.now()).silos[0]!.spoolKey, 'spool-folder');
    rmSync(site.path('state'), { recursive: true });
  });

  it('warns of an http.listen that others reach', async () => {
    await site.configure(
      `http: { listen: '0.0.0.0:9464' }\nsilos:\n${siloEntry('north', 'mqtts://b')}${plant}`,
    );
    assert.match(examine(site.config, Date.now()).warnings.join(), /http\.listen/);
  });

  it('warns of a TCP port for HTTP, which each silo can read, if silos are processes of their own', async () => {
    const warningsAt = async (listen: string, isolation: string): Promise<string> => {
      const silos = ['north', 'south'].map(
        (name) => `${siloEntry(name, 'mqtts://b')}    isolation: ${isolation}\n`,
      );
      await site.configure(`http: { listen: '${listen}' }\nsilos:\n${silos.join('')}`);
      return examine(site.config, Date.now()).warnings.join();
    };
    assert.match(await warningsAt('127.0.0.1:9464', 'process'), /every user of this box, each silo too/);
    assert.doesNotMatch(await warningsAt('127.0.0.1:9464', 'thread'), /http\.listen/);
    assert.doesNotMatch(await warningsAt('./http.sock', 'process'), /http\.listen/);
  });

  it('refuses a bus that cannot carry its plan, and names the device to slow', async () => {
    const points = Array.from(
      { length: 60 },
      (_, index) => `{ name: p${index}, table: input, address: ${index * 200}, type: float32 }`,
    );
    await configure(
      ['north'],
      `buses:
  - { name: line, kind: modbus-rtu, port: /dev/ttyS0, baudRate: 9600 }
devices:
  - { name: meter, bus: line, unitId: 1, every: 1s, points: [${points.join(', ')}] }
`,
    );
    assert.match(
      faultsOf()[0]!,
      /^10:5: line: \d{3} % of the line at 9600 baud; slow 'meter' to \d+m?s or raise the baud rate$/,
    );
  });

  it('ends with 66 for a missing file', async () => {
    const { exitCode } = await runCommand(['check', '--config', site.path('no.yaml')]);
    assert.equal(exitCode, 66);
    writeFileSync(site.path('bad.yaml'), 'silos: [');
    assert.equal((await runCommand(['check', '--config', site.path('bad.yaml')])).exitCode, 78);
  });
});
