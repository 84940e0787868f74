import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import { type ControlServer, startControlServer } from '../../src/admin/control-server.ts';
import type { TailItem } from '../../src/admin/control-protocol.ts';
import type { QuotaStatus } from '../../src/status/status.ts';
import { reportStatus } from '../../src/cli/status-report.ts';
import { runCommand } from '../support/daemon.ts';
import { busStatus, deviceStatus, gatewayStatus, siloStatus, troubledStatus } from '../support/status.ts';

const bare = (_style: string, text: string): string => text;

describe('status report', () => {
  const lines = (text: string): string[] => text.split('\n');

  it('is short if all is good', () => {
    const text = reportStatus(gatewayStatus(), Date.now(), bare);
    assert.match(text, /^merestone 9\.9\.9 {2}up 117 min {2}\/etc\/merestone\/merestone\.yaml$/m);
    assert.match(text, /^silo north {2}running$/m);
    assert.match(text, /tenant +acme, gateway acme_gw-0001/);
    assert.match(
      text,
      /uplink +online for 60 min, mqtts:\/\/broker\.example\.com:8883 by MQTT 5, 34 ms round trip/,
    );
    assert.match(text, /bus rs485 {2}modbus-rtu {2}open {2}34 % busy/);
    assert.match(text, /main-meter +north +good +\d+ ms ago +18 ms +3 ms +12,345 +none/);
    assert.ok(lines(text).length < 16, text);
  });

  it('has every reason in words', () => {
    const text = reportStatus(troubledStatus(), Date.now(), bare);
    for (const words of [
      'the certificate ended on 2026-11-01',
      '12 days left',
      'the CN lacks the prefix acme_',
      'connect ECONNREFUSED',
      '3 refused, 1 that nobody subscribes to',
      '91,234 batches waiting (45,617,000 samples)',
      '2 batches quarantined',
      '77 dropped: overrun',
      'not known to be right yet',
      '/dev/ttyUSB1 is not there',
      'timeout 12, crc 1',
      'illegal data address at 72',
    ]) {
      assert.ok(text.includes(words), words);
    }
  });

  it('begins with the verdict, and each reason has what to do below it', () => {
    const told = lines(reportStatus(troubledStatus(), Date.now(), bare));
    assert.match(told[2]!, /^failing: /);
    const at = told.findIndex((line) => line.includes('bus wind is lost'));
    assert.match(told[at]!, /^ {2}failing {3}bus wind is lost: .*; device mast is offline$/);
    assert.match(told[at + 1]!, /^ {12}plug the adapter in/);
    assert.equal(
      lines(reportStatus(gatewayStatus(), Date.now(), bare))[2],
      'good: every device gives values, and every batch is accepted',
    );
  });

  it('shows no waiting samples for a refused silo, and no age for an empty spool', () => {
    const south = troubledStatus().silos[1]!;
    assert.deepEqual([south.state, south.clock], ['refused', 'good']);
    const refused = { ...south, clock: 'unknown' as const };
    assert.doesNotMatch(reportStatus(gatewayStatus({ silos: [refused] }), Date.now(), bare), /samples wait/);
    const north = siloStatus('north');
    const spool = { ...north.spool!, batches: 0, samples: 0, oldestAgeMs: 1300 };
    const text = reportStatus(gatewayStatus({ silos: [{ ...north, spool }] }), Date.now(), bare);
    assert.match(text, / 0 batches waiting \(0 samples\); /);
  });

  it('does not use the wall clock for durations', () => {
    const north = siloStatus('north');
    const uplink = { ...north.uplink!, since: 0, forMs: 4000 };
    const device = deviceStatus('meter', { lastSampleAt: 0, silentMs: 700 });
    const buses = [busStatus('rs485', { devices: [device] })];
    const text = reportStatus(gatewayStatus({ silos: [{ ...north, uplink }], buses }), Date.now(), bare);
    assert.match(text, /online for 4 s,/);
    assert.match(text, /meter +north +good +700 ms ago/);
  });

  it('shows a quota that is reached or near, and what follows', () => {
    const quotas: QuotaStatus[] = [
      { quota: 'samples-per-second', limit: 2000, used: 3412.4, state: 'reached' },
      { quota: 'uplink-bytes-per-day', limit: 200e6, used: 181e6, state: 'clear' },
      { quota: 'spool-bytes', limit: 512e6, used: 460e6, state: 'clear' },
      { quota: 'bus-share', limit: 0.2, used: 0.21, state: 'reached' },
      { quota: 'cpu-share', limit: 0.25, used: 0.1, state: 'reached' },
    ];
    const text = reportStatus(gatewayStatus({ silos: [siloStatus('north', { quotas })] }), Date.now(), bare);
    const told = lines(text).filter((line) => line.startsWith('  quota '));
    assert.deepEqual(
      told.map((line) => line.slice('  quota        '.length)),
      [
        'samples a second: 3,412 of 2,000, reached: what is over it is dropped',
        'bytes sent today (UTC): 181 MB of 200 MB',
        'share of a bus: 21 % of 20 %, reached: its devices are read less often',
        'share of a core: 10 % of 25 %, reached: the backlog waits, then samples are dropped',
      ],
    );
    const cleared = quotas.map((quota) => ({ ...quota, used: quota.limit * 0.89, state: 'clear' as const }));
    const calm = gatewayStatus({ silos: [siloStatus('north', { quotas: cleared })] });
    assert.doesNotMatch(reportStatus(calm, Date.now(), bare), /quota/);
  });

  it('explains a waiting backlog while half of the day’s bytes are reserved for live batches', () => {
    const quotas: QuotaStatus[] = [
      { quota: 'uplink-bytes-per-day', limit: 200e6, used: 120e6, state: 'clear' },
    ];
    const noon = Date.UTC(2026, 10, 22, 12);
    const report = (oldestAgeMs: number, nowMs: number): string => {
      const north = siloStatus('north', { quotas });
      const spool = { ...north.spool!, oldestAgeMs };
      return reportStatus(gatewayStatus({ silos: [{ ...north, spool }] }), nowMs, bare);
    };
    assert.match(
      report(3_600_000, noon),
      /quota +bytes sent today \(UTC\): 120 MB of 200 MB: the backlog waits, live batches go/,
    );
    assert.doesNotMatch(report(900, noon), /quota/);
    assert.doesNotMatch(report(3_600_000, noon + 4 * 3_600_000), /quota/);
  });

  it('shows an isolation other than the default, and memory near its limit', () => {
    const usage = { cpuShare: 0.1, memoryBytes: 90e6, memoryBytesMax: 96e6 };
    const text = reportStatus(
      gatewayStatus({ silos: [siloStatus('north', { isolation: 'process', usage })] }),
      Date.now(),
      bare,
    );
    assert.match(text, /^silo north {2}running {2}process of its own$/m);
    assert.match(text, /memory +90 MB of 96 MB; past it, this silo alone restarts/);
    assert.doesNotMatch(reportStatus(gatewayStatus(), Date.now(), bare), /process|memory/);
  });

  it('shows at the bus which silo is limited by its share', () => {
    const silos = [
      { silo: 'north', busShare: 0.304, busShareMax: 0.3, held: true },
      { silo: 'south', busShare: 0.28, busShareMax: 0.3, held: false },
      { silo: 'east', busShare: 0.1, busShareMax: 0.3, held: false },
      { silo: 'west', busShare: 0.9, busShareMax: null, held: false },
    ];
    const text = reportStatus(gatewayStatus({ buses: [busStatus('rs485', { silos })] }), Date.now(), bare);
    assert.match(text, /^ {2}silo north takes 30 % and may take 30 %: its devices wait$/m);
    assert.match(text, /^ {2}silo south takes 28 % and may take 30 %$/m);
    assert.doesNotMatch(text, /silo (east|west) takes/);
  });

  it("keeps its columns, and lets a device's text do nothing to the terminal", () => {
    const status = gatewayStatus();
    status.buses[0]!.devices = [
      deviceStatus('a'),
      deviceStatus('a-long-device-name', { state: 'failing', reason: '\u001b]0;owned\u0007\u009b31m' }),
    ];
    const text = reportStatus(status, Date.now(), bare);
    assert.doesNotMatch(text.replaceAll('\n', ''), /\p{Cc}/u);
    const rows = lines(text).filter((line) => / north +(good|failing)/.test(line));
    assert.equal(rows[0]!.indexOf('12,345'), rows[1]!.indexOf('12,345'));
  });
});

describe('status and tail of a running daemon', () => {
  let folder: string;
  let config: string;
  let server: ControlServer;
  const item = (silo: string, device: string, more: Partial<TailItem['sample']> = {}): TailItem => ({
    silo,
    sample: {
      device,
      wallMs: Date.UTC(2026, 10, 22, 22, 15, 3, 123),
      monotonicMs: 1,
      values: { power: 4312.5, on: true },
      ...more,
    },
  });

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'merestone-cli-'));
    config = path.join(folder, 'merestone.yaml');
    // Faulty on purpose: a daemon that runs with the earlier file can still be asked.
    writeFileSync(config, 'control: { socket: ./control.sock }\nsilos: soon\n');
    const handlers = {
      status: gatewayStatus,
      devices: () => [
        {
          silo: 'north',
          devices: [{ name: 'meter', points: [{ name: 'power', type: 'float32' as const, unit: 'W' }] }],
        },
        { silo: 'south', devices: [{ name: 'mast', points: [] }] },
      ],
      subscribe: (listener: (each: TailItem) => void) => {
        const timer = setInterval(() => {
          listener(item('north', 'meter', { quality: { energy: 'timeout' } }));
          listener(item('south', 'mast', { values: { text: '\u001b[2Jgone' } }));
        }, 5);
        return () => clearInterval(timer);
      },
      reload: async () => null,
      request: async () => null,
      refused: () => {},
    };
    server = await startControlServer(path.join(folder, 'control.sock'), handlers, { logger: silentLogger });
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  it('status --json is the whole status', async () => {
    const { exitCode, stdout } = await runCommand(['status', '--json', '--config', config]);
    assert.equal(exitCode, 0);
    const { uptimeMs, silos } = JSON.parse(stdout) as ReturnType<typeof gatewayStatus>;
    assert.deepEqual([uptimeMs, silos[0]!.name], [7_000_000, 'north']);
  });

  it('tail shows time, silo, device, values with units, and what is missing', async () => {
    const { exitCode, stdout } = await runCommand([
      'tail',
      '--count',
      '3',
      '--device',
      'meter',
      '--config',
      config,
    ]);
    assert.equal(exitCode, 0);
    const printed = stdout.trimEnd().split('\n');
    assert.equal(printed.length, 3);
    assert.match(
      printed[0]!,
      /^\d\d:\d\d:03\.123 {2}north {2}meter {2}power=4312\.5 W {2}on=true {2}energy: timeout$/,
    );
  });

  it("tail lets a sensor's text do nothing to the terminal", async () => {
    const { stdout } = await runCommand(['tail', '--count', '1', '--silo', 'south', '--config', config]);
    assert.match(stdout, /mast {2}text=\uFFFD\[2Jgone\n$/);
  });

  it('tail --json is one document a line', async () => {
    const { stdout } = await runCommand([
      'tail',
      '--json',
      '--count',
      '2',
      '--silo',
      'north',
      '--config',
      config,
    ]);
    const documents = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    const document = {
      silo: 'north',
      device: 'meter',
      ts: Date.UTC(2026, 10, 22, 22, 15, 3, 123),
      values: { power: 4312.5, on: true },
      quality: { energy: 'timeout' },
    };
    assert.deepEqual(documents, [document, document]);
  });

  it('tail ends after --seconds', async () => {
    const { exitCode, stdout } = await runCommand(['tail', '--seconds', '0.3', '--config', config]);
    assert.equal(exitCode, 0);
    assert.ok(stdout.length > 0);
  });

  it('tail refuses a name that the daemon does not have', async () => {
    const { exitCode, stderr } = await runCommand(['tail', '--device', 'metre', '--config', config]);
    assert.equal(exitCode, 64);
    assert.match(stderr, /the daemon has no device 'metre'; did you mean 'meter'\?/);
  });

  it('reports that no daemon runs, with 69', async () => {
    const other = path.join(folder, 'other.yaml');
    writeFileSync(other, 'control: { socket: ./nobody.sock }\n');
    for (const command of ['status', 'tail']) {
      const { exitCode, stdout, stderr } = await runCommand([command, '--config', other]);
      assert.deepEqual([exitCode, stdout], [69, '']);
      assert.match(
        stderr,
        /no daemon is running here; start it with 'systemctl start merestone' or 'merestone run'/,
      );
    }
  });
});
