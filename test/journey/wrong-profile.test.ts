import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Row } from '../../src/backend/row.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { startModbusTcpDevice } from '../../src/simulator/modbus-tcp-device.ts';
import { type ModbusUnit, RegisterImage } from '../../src/simulator/register-image.ts';
import { eventually, runCommand } from '../support/daemon.ts';
import { GoldenImage } from '../support/golden-image.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Site, siloEntry } from '../support/site.ts';
import { Subscriber } from '../support/subscriber.ts';

it('a wrong profile never gives a value that a backend takes for good', async () => {
  const authority = await createAuthority('Test CA');
  await using broker = await Mosquitto.start({ authority });
  await using site = await Site.create(authority);
  const counter = new RegisterImage();
  counter.define('holding', 0, 10);
  // 2^53 + 1
  counter.setRegisters('holding', 0, Buffer.of(0, 0x20, 0, 0, 0, 0, 0, 1));
  const units = new Map<number, ModbusUnit>([
    [1, new GoldenImage('carlo-gavazzi-em24-ethernet', true)],
    [2, new GoldenImage('eastron-sdm630', false)],
    [3, new GoldenImage('eastron-sdm630', false)],
    [4, counter],
  ]);
  const plant = await startModbusTcpDevice(units);
  site.cleanUp(() => plant.close());
  await site.issueGateway('north', 'acme');
  await site.issueBackend();
  const every = 'every: 500ms';
  await site.configure(`silos:
${siloEntry('north', broker.url)}buses:
  - { name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${plant.port} }
devices:
  - { name: right, bus: plant, unitId: 1, profile: carlo-gavazzi-em24-ethernet, ${every} }
  - { name: wrong, bus: plant, unitId: 2, profile: carlo-gavazzi-em340, ${every} }
  - { name: unasked, bus: plant, unitId: 3, profile: carlo-gavazzi-em340, identify: off, ${every} }
  - name: counter
    bus: plant
    unitId: 4
    ${every}
    points:
      - { name: over, table: holding, address: 0, type: uint64, max: '9007199254740992' }
      - { name: within, table: holding, address: 0, type: uint64, max: '9007199254740993', unit: count }
`);
  site.startConsumer(broker.url);
  const backend = await Subscriber.open(site, broker.url, 'listener');
  site.cleanUp(() => backend.close());
  const daemon = site.startDaemon();
  const rows = await eventually('rows of every device', async () => {
    const all = await site.rows();
    const count = (device: string, point: string): number =>
      all.filter((row) => row.device === device && row.point === point).length;
    const meters = ['right', 'wrong', 'unasked'];
    return meters.every((device) => count(device, 'voltage_l1') > 2) && count('counter', 'over') > 2 && all;
  });
  const of = (device: string): Row[] => rows.filter((row) => row.device === device);

  assert.ok(of('right').every(({ quality }) => quality === 'good'));
  const wrong = of('wrong');
  assert.ok(wrong.length > 0 && wrong.every(({ quality }) => quality !== 'good'), 'from the first row on');
  const voltage = wrong.find(({ point, value }) => point === 'voltage_l1' && value !== null)!;
  assert.ok(Number(voltage.value) > 1e8, 'what was read is told');
  assert.equal(voltage.quality, 'implausible');
  for (const row of of('unasked').filter(({ point }) => point.startsWith('voltage')))
    assert.equal(row.quality, 'implausible', 'its range tells, if it is not to be asked');
  assert.deepEqual(
    ['over', 'within']
      .map((point) => of('counter').find((row) => row.point === point))
      .map((row) => [row?.value, row?.quality]),
    [
      ['9007199254740993', 'implausible'],
      ['9007199254740993', 'good'],
    ],
  );

  const { exitCode } = await runCommand(['status', '--config', site.config]);
  assert.equal(exitCode, 1, 'degraded');
  const status = await daemon.status();
  const devices = new Map(status.buses[0]!.devices.map((device) => [device.name, device]));
  assert.deepEqual(
    [...devices.values()].map(({ identity }) => identity.state),
    ['confirmed', 'contradicted', 'off', 'unchecked'],
  );
  assert.match(devices.get('wrong')?.reason ?? '', /input 11 is \d+, not 330, 331.*or write identify: off/);
  assert.equal(devices.get('wrong')?.points.good, 0);
  assert.equal(devices.get('right')?.points.byQuality['implausible'], undefined);
  assert.equal(await daemon.stop(), 0);
  const logged = daemon.log.filter((line) =>
    JSON.stringify(line).includes('another than its profile is for'),
  );
  assert.deepEqual(
    logged.map(({ device }) => device),
    ['wrong'],
  );
  const show = ['audit', 'show', '--kind', 'device-identity', '--json'];
  const audit = await runCommand([...show, '--config', site.config]);
  const entries = audit.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { entry: Record<string, unknown> }).entry);
  assert.deepEqual(
    entries.map(({ device, profile, state }) => [device, profile, state]),
    [['wrong', 'carlo-gavazzi-em340', 'contradicted']],
  );
  assert.match(String(entries[0]!['says']), /^input 11 is \d+, not 330/);
  const told = await eventually('the entry off the box', () =>
    backend.events.filter((event) => event.kind === 'audit' && event.entry['kind'] === 'device-identity'),
  );
  assert.equal(told.length, 1);
});
