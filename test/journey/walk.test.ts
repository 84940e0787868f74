import assert from 'node:assert/strict';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { Row } from '../../src/backend/row.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { openPtyPair } from '../../src/simulator/pty.ts';
import { eventually, runCommand } from '../support/daemon.ts';
import { startLibmodbus, startPymodbus } from '../support/modbus-servers.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { bytesOf, inOrder } from '../support/register-bytes.ts';
import type { Isolation } from '../../src/status/status.ts';
import { isolations, Site, siloEntry } from '../support/site.ts';

type Order = 'big' | 'little';

/** A value, its canonical bytes (big-endian), and what a backend must receive. */
interface Specimen {
  type: string;
  bytes: Uint8Array;
  expected: number | string | boolean;
  more?: string;
}

const specimens: readonly Specimen[] = [
  { type: 'int16', bytes: bytesOf(2, (view) => view.setInt16(0, -12345)), expected: -12345 },
  { type: 'uint16', bytes: bytesOf(2, (view) => view.setUint16(0, 54321)), expected: 54321 },
  { type: 'int32', bytes: bytesOf(4, (view) => view.setInt32(0, -1234567890)), expected: -1234567890 },
  { type: 'uint32', bytes: bytesOf(4, (view) => view.setUint32(0, 4123456789)), expected: 4123456789 },
  {
    type: 'int64',
    bytes: bytesOf(8, (view) => view.setBigInt64(0, -1234567890123n)),
    expected: -1234567890123,
  },
  {
    type: 'uint64',
    bytes: bytesOf(8, (view) => view.setBigUint64(0, 18_000_000_000_000_000_001n)),
    expected: '18000000000000000001',
  },
  { type: 'float32', bytes: bytesOf(4, (view) => view.setFloat32(0, 230.4)), expected: 230.4 },
  {
    type: 'float64',
    bytes: bytesOf(8, (view) => view.setFloat64(0, -0.1234567890123)),
    expected: -0.1234567890123,
  },
  { type: 'string', bytes: Buffer.from('Merestone\0'), expected: 'Merestone', more: 'length: 5' },
  {
    type: 'int16',
    bytes: bytesOf(2, (view) => view.setInt16(0, 2304)),
    expected: 230.4,
    more: 'scale: 0.1, unit: V',
  },
];
const orders: readonly Order[] = ['big', 'little'];

interface RegisterMap {
  /** From `mapFrom` on, without a gap. */
  registers: Buffer;
  points: string[];
  expected: Record<string, Specimen['expected']>;
}

const mapFrom = 100;

/** Every specimen in every order, one after the other from address 100 on, with holes between them. */
function everyTypeAndOrder(table: 'holding' | 'input'): RegisterMap {
  const map: RegisterMap = { registers: Buffer.alloc(2 * 400), points: [], expected: {} };
  let address = mapFrom;
  for (const [index, { type, bytes, expected, more }] of specimens.entries()) {
    for (const byteOrder of orders) {
      // A string's characters follow the order of its registers, for any order of words in a number.
      for (const wordOrder of type === 'string' ? (['big'] as const) : orders) {
        const name = `${table}_${type}_${index}_${byteOrder}_${wordOrder}`;
        const extra = more === undefined ? '' : `, ${more}`;
        map.registers.set(inOrder(bytes, byteOrder, wordOrder), 2 * (address - mapFrom));
        map.points.push(
          `{ name: ${name}, table: ${table}, address: ${address}, type: ${type}, byteOrder: ${byteOrder}, wordOrder: ${wordOrder}${extra} }`,
        );
        map.expected[name] = expected;
        address += bytes.length / 2 + (index % 3);
      }
    }
  }
  return map;
}

const bitPoints: Record<string, boolean> = {
  coil_on: true,
  coil_off: false,
  discrete_on: true,
  discrete_off: false,
};

/** `$`, body, `*`, XOR of the body in hex (NMEA 0183). */
function sentence(body: string, fault = 0): string {
  const sum = [...Buffer.from(body)].reduce((xor, byte) => xor ^ byte, 0) ^ fault;
  return `$${body}*${sum.toString(16).toUpperCase().padStart(2, '0')}\r\n`;
}

describe('the walk of a reading', () => {
  for (const isolation of isolations) {
    it(`brings every value of every kind of device to the backend, under its own tenant (${isolation})`, () =>
      walk(isolation));
  }
});

async function walk(isolation: Isolation): Promise<void> {
  const authority = await createAuthority('Test CA');
  await using broker = await Mosquitto.start({ authority });
  await using site = await Site.create(authority);
  const [holding, input] = [everyTypeAndOrder('holding'), everyTypeAndOrder('input')];

  const image = async (name: string, ...lines: string[]): Promise<string> => {
    await writeFile(site.path(name), `${lines.join('\n')}\n`);
    return site.path(name);
  };
  const everyType = await image(
    'every-type.image',
    `holding ${mapFrom} ${holding.registers.toString('hex')}`,
    `input ${mapFrom} ${input.registers.toString('hex')}`,
    'coil 10 0100',
    'discrete 20 0001',
  );
  const tcp = await startPymodbus('tcp', everyType);
  site.cleanUp(() => tcp.close());
  const meter = await startPymodbus('tcp', await image('meter.image', 'holding 0 1267'));
  site.cleanUp(() => meter.close());
  const rtuLine = await openPtyPair(site.folder, 'rtu');
  site.cleanUp(() => rtuLine.close());
  const counting = (from: number): string =>
    Array.from({ length: 200 }, (_, index) => (from + index).toString(16).padStart(4, '0')).join('');
  const rtuImage = await image(
    'rtu.image',
    `holding 0 ${counting(1000)}`,
    `input 0 ${counting(2000)}`,
    'coil 9 0100',
    'discrete 15 01',
  );
  const rtu = await startLibmodbus('rtu', rtuLine.deviceEnd, rtuImage);
  site.cleanUp(() => rtu.close());
  const stopTalking = await startTalkers(site);
  site.cleanUp(stopTalking);

  await site.issueGateway('north', 'acme');
  await site.issueGateway('south', 'borealis');
  await site.issueBackend();
  const points = [...holding.points, ...input.points].map((point) => `      - ${point}\n`).join('');
  await site.configure(`silos:
${siloEntry('north', broker.url, '', isolation)}${siloEntry('south', broker.url, 'compression: zstd', isolation)}buses:
  - { name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${tcp.port} }
  - { name: cellar, kind: modbus-tcp, host: 127.0.0.1, port: ${meter.port} }
  - { name: rs485, kind: modbus-rtu, port: ${rtuLine.gatewayEnd}, baudRate: 19200, parity: none }
  - { name: weigh, kind: serial, port: ./weigh, baudRate: 9600 }
  - { name: mast, kind: serial, port: ./mast, baudRate: 4800 }
devices:
  - name: every-type
    silo: north
    bus: plant
    unitId: 1
    every: 500ms
    points:
${points}      - { name: coil_on, table: coil, address: 10, type: bool }
      - { name: coil_off, table: coil, address: 11, type: bool }
      - { name: discrete_off, table: discrete, address: 20, type: bool }
      - { name: discrete_on, table: discrete, address: 21, type: bool }
  - name: meter
    silo: south
    bus: cellar
    unitId: 1
    every: 500ms
    points:
      - { name: serial_number, table: holding, address: 0, type: uint16 }
      - { name: missing, table: holding, address: 900, type: uint16 }
  - name: libmodbus
    silo: north
    bus: rs485
    unitId: 1
    every: 500ms
    points:
      - { name: holding_5, table: holding, address: 5, type: uint16 }
      - { name: holding_150, table: holding, address: 150, type: uint16 }
      - { name: input_9, table: input, address: 9, type: uint16, scale: 0.01, unit: Cel }
      - { name: coil_9, table: coil, address: 9, type: bool }
      - { name: coil_10, table: coil, address: 10, type: bool }
      - { name: discrete_15, table: discrete, address: 15, type: bool }
  - name: scale
    silo: north
    bus: weigh
    every: 500ms
    protocol:
      framing: { by: line }
      messages:
        - { pattern: '^(?<weight>[+-][0-9.]+) kg', fields: [{ name: weight, unit: kg }] }
  - { name: wind, silo: south, bus: mast, profile: nmea-0183, every: 500ms }
`);
  const check = await runCommand(['check', '--config', site.config]);
  assert.equal(check.exitCode, 0, check.stdout + check.stderr);

  const consumer = site.startConsumer(broker.url);
  const daemon = site.startDaemon();
  const complete = await eventually('rows of every device', async () => {
    const rows = await site.rows();
    const devices = new Set(rows.filter((row) => row.quality === 'good').map((row) => row.device));
    return devices.size === 5 && rows.some((row) => row.point === 'missing') && rows;
  });
  assert.equal(await daemon.stop(), 0);
  assert.equal(await consumer.stop(), 0, consumer.stderr);

  const owner: Record<string, string> = {
    'every-type': 'acme',
    libmodbus: 'acme',
    scale: 'acme',
    meter: 'borealis',
    wind: 'borealis',
  };
  for (const row of complete) {
    assert.equal(row.tenant, owner[row.device]);
    assert.equal(row.gateway, `${row.tenant}_gw-0001`);
    assert.ok(Math.abs(row.ts - Date.now()) < 300_000, `time ${row.time}`);
  }
  assertValues(complete, 'every-type', { ...holding.expected, ...input.expected, ...bitPoints });
  assertValues(complete, 'meter', { serial_number: 4711 });
  assertValues(complete, 'libmodbus', {
    holding_5: 1005,
    holding_150: 1150,
    input_9: 20.09,
    coil_9: true,
    coil_10: false,
    discrete_15: true,
  });
  assertValues(complete, 'scale', { weight: 12.5 });
  assertValues(complete, 'wind', { wind_angle: 236, wind_speed: 6.2 });
  const missing = complete.filter((row) => row.point === 'missing');
  for (const row of missing) assert.deepEqual([row.value, row.quality], [null, 'exception:2']);
  const unitOf = (device: string, point: string): unknown =>
    complete.findLast((row) => row.device === device && row.point === point)?.unit;
  assert.equal(unitOf('libmodbus', 'input_9'), 'Cel');
  assert.equal(unitOf('scale', 'weight'), 'kg');
  assert.equal(unitOf('wind', 'wind_speed'), 'm/s');
}

/** Each point of the device was read, and has its one right value. */
function assertValues(rows: readonly Row[], device: string, expected: Record<string, Row['value']>): void {
  const good = rows.filter((row) => row.device === device && row.quality === 'good');
  for (const row of good) assert.deepEqual(row.value, expected[row.point], `${device} ${row.point}`);
  const read = new Set(good.map((row) => row.point));
  for (const point of Object.keys(expected)) assert.ok(read.has(point), `${device} ${point} was never read`);
}

/** A free-running scale and wind sensor, with damaged lines among the valid ones. */
async function startTalkers(site: Site): Promise<() => Promise<void>> {
  const lines = await Promise.all([openPtyPair(site.folder, 'weigh'), openPtyPair(site.folder, 'mast')]);
  const [scale, mast] = lines.map((line) => createWriteStream(line.deviceEnd));
  for (const stream of [scale!, mast!]) stream.on('error', () => {});
  const timer = setInterval(() => {
    scale!.write('+0012.5 kg\r\n+00x9.9 kg\r\n');
    mast!.write(sentence('WIMWV,236.0,R,6.2,M,A') + sentence('WIMWV,111.0,R,99.9,M,A', 1));
  }, 100);
  return async () => {
    clearInterval(timer);
    await Promise.all(
      [scale, mast].map(
        (stream) => new Promise((resolve) => stream!.destroy().once('close', () => resolve(undefined))),
      ),
    );
    await Promise.all(lines.map((line) => line.close()));
  };
}
