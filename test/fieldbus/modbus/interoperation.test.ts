import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import ModbusSerial from 'modbus-serial';
import { systemClock } from '../../../src/base/clock.ts';
import { identify } from '../../../src/fieldbus/modbus/identification.ts';
import { openBus } from '../../../src/fieldbus/modbus/modbus-endpoint.ts';
import type { BusKinds, ModbusBusOptions } from '../../../src/fieldbus/options.ts';
import type { ModbusPointOptions, ModbusTable } from '../../../src/fieldbus/options.ts';
import type { Order, RegisterType } from '../../../src/reading/point.ts';
import { registerCount } from '../../../src/reading/registers.ts';
import type { Value } from '../../../src/reading/sample.ts';
import { startModbusRtuDevice } from '../../../src/simulator/modbus-rtu-device.ts';
import { startModbusTcpDevice } from '../../../src/simulator/modbus-tcp-device.ts';
import { openPtyPair } from '../../../src/simulator/pty.ts';
import { RegisterImage } from '../../../src/simulator/register-image.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../../support/modbus-options.ts';
import { startLibmodbus, startPymodbus } from '../../support/modbus-servers.ts';
import { bytesOf, inOrder } from '../../support/register-bytes.ts';
import { runFieldbus } from '../../support/running-fieldbus.ts';
import { until } from '../../support/until.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);
// A CommonJS module: its class is the default export of the default export.
const ModbusRTU = ModbusSerial.default ?? ModbusSerial;
const folder = temporaryDirectory({ after });

/** A value of each type, as big-endian bytes. */
const examples: {
  type: RegisterType;
  bytes: Uint8Array;
  value: Value;
  more?: Partial<ModbusPointOptions>;
}[] = [
  { type: 'bool', bytes: bytesOf(2, (view) => view.setUint16(0, 0x0400)), value: true, more: { bit: 10 } },
  { type: 'int16', bytes: bytesOf(2, (view) => view.setInt16(0, -12345)), value: -12345 },
  { type: 'uint16', bytes: bytesOf(2, (view) => view.setUint16(0, 54321)), value: 54321 },
  {
    type: 'uint16',
    bytes: bytesOf(2, (view) => view.setUint16(0, 2304)),
    value: 230.4,
    more: { scale: 0.1 },
  },
  { type: 'int32', bytes: bytesOf(4, (view) => view.setInt32(0, -1234567890)), value: -1234567890 },
  { type: 'uint32', bytes: bytesOf(4, (view) => view.setUint32(0, 3456789012)), value: 3456789012 },
  { type: 'float32', bytes: bytesOf(4, (view) => view.setFloat32(0, -123.4375)), value: -123.4375 },
  { type: 'int64', bytes: bytesOf(8, (view) => view.setBigInt64(0, -1234567890123n)), value: -1234567890123 },
  {
    type: 'uint64',
    bytes: bytesOf(8, (view) => view.setBigUint64(0, 2n ** 60n + 1n)),
    value: '1152921504606846977',
  },
  { type: 'float64', bytes: bytesOf(8, (view) => view.setFloat64(0, Math.PI)), value: Math.PI },
  {
    type: 'bits',
    bytes: bytesOf(2, (view) => view.setUint16(0, 0x8001)),
    value: 'run,fault',
    more: { bits: { 0: 'run', 15: 'fault' } },
  },
  { type: 'bcd16', bytes: Uint8Array.of(0x98, 0x76), value: 9876 },
  { type: 'bcd32', bytes: Uint8Array.of(0x12, 0x34, 0x56, 0x78), value: 12345678 },
];
const orders: Order[] = ['big', 'little'];

interface Cell {
  point: ModbusPointOptions;
  value: Value;
}

/** Every type in every order in a register table, one after another, and the registers that hold them. */
function registers(table: 'holding' | 'input', start: number): { cells: Cell[]; bytes: Buffer } {
  const cells: Cell[] = [];
  const parts: Uint8Array[] = [];
  let address = start;
  const add = (
    bytes: Uint8Array,
    value: Value,
    format: Partial<ModbusPointOptions> & { type: RegisterType },
  ): void => {
    const point = registerPoint(`${table}_${address}`, { table, address, everyMs: 200, ...format });
    cells.push({ point, value });
    parts.push(bytes);
    address += registerCount(point);
  };
  for (const byteOrder of orders) {
    for (const wordOrder of orders) {
      for (const { type, bytes, value, more } of examples) {
        add(inOrder(bytes, byteOrder, wordOrder), value, { type, byteOrder, wordOrder, ...more });
      }
    }
    const text = inOrder(Buffer.from('Merestone 1\0'), byteOrder, 'big');
    add(text, 'Merestone 1', { type: 'string', length: 6, byteOrder });
  }
  return { cells, bytes: Buffer.concat(parts) };
}

function bits(table: 'coil' | 'discrete', start: number): { cells: Cell[]; bits: boolean[] } {
  const values = Array.from(
    { length: 61 },
    (_, index) => (index * index + (table === 'coil' ? 0 : 1)) % 3 === 0,
  );
  const cells = values.map((value, index) => {
    const address = start + index;
    return {
      value,
      point: registerPoint(`${table}_${address}`, { table, address, type: 'bool', everyMs: 200 }),
    };
  });
  return { cells, bits: values };
}

// Addresses apart, so that a wrong function code or a shifted address would be refused or read something else.
const starts: Record<ModbusTable, number> = { coil: 20, discrete: 130, holding: 100, input: 3000 };
const holding = registers('holding', starts.holding);
const input = registers('input', starts.input);
const coil = bits('coil', starts.coil);
const discrete = bits('discrete', starts.discrete);
const cells = [holding, input, coil, discrete].flatMap((table) => table.cells);
const expected = Object.fromEntries(cells.map(({ point, value }) => [point.name, value]));

const imageFile = join(folder, 'image');
const bitDigits = (values: boolean[]): string => values.map((value) => (value ? '01' : '00')).join('');
writeFileSync(
  imageFile,
  [
    `holding ${starts.holding} ${holding.bytes.toString('hex')}`,
    `input ${starts.input} ${input.bytes.toString('hex')}`,
    `coil ${starts.coil} ${bitDigits(coil.bits)}`,
    `discrete ${starts.discrete} ${bitDigits(discrete.bits)}`,
  ].join('\n'),
);

function ownImage(): RegisterImage {
  const image = new RegisterImage();
  for (const [table, { bytes }] of [
    ['holding', holding],
    ['input', input],
  ] as const) {
    image.define(table, starts[table], bytes.length / 2);
    image.setRegisters(table, starts[table], bytes);
  }
  for (const [table, { bits }] of [
    ['coil', coil],
    ['discrete', discrete],
  ] as const) {
    image.define(table, starts[table], bits.length);
    for (const [index, value] of bits.entries()) image.setBit(table, starts[table] + index, value);
  }
  return image;
}

interface Served extends AsyncDisposable {
  bus: ModbusBusOptions;
}

function served(bus: ModbusBusOptions, ...parts: { close(): Promise<void> }[]): Served {
  const close = async (): Promise<void> => {
    for (const part of parts) await part.close();
  };
  return { bus, [Symbol.asyncDispose]: close };
}

async function onPty(
  name: string,
  serve: (path: string) => Promise<{ close(): Promise<void> }>,
): Promise<Served> {
  const pair = await openPtyPair(folder, name);
  return served(rtuBus(pair.gatewayEnd), await serve(pair.deviceEnd), pair);
}

const units = new Map([[1, ownImage()]]);
const own = { baudRate: 19_200, parity: 'none' } as const;
const servers = {
  'our simulator by TCP': async () => {
    const device = await startModbusTcpDevice(units);
    return served(tcpBus(device.port, { pipeline: 4 }), device);
  },
  'our simulator by RTU': () => onPty('own', (path) => startModbusRtuDevice(units, { path, ...own })),
  'pymodbus by TCP': async () => {
    const server = await startPymodbus('tcp', imageFile);
    return served(tcpBus(server.port), server);
  },
  'pymodbus by RTU': () => onPty('pymodbus', (path) => startPymodbus('rtu', path, imageFile)),
  'pymodbus by RTU over TCP': async () => {
    const server = await startPymodbus('rtu-over-tcp', imageFile);
    return served({ ...tcpBus(server.port), kind: 'modbus-rtu-over-tcp' }, server);
  },
  'pymodbus by ASCII': async () => {
    const pair = await openPtyPair(folder, 'ascii');
    const server = await startPymodbus('ascii', pair.deviceEnd, imageFile);
    // A PTY has eight bits.
    const line = { baudRate: 19_200, dataBits: 8, parity: 'none', stopBits: 1 } as const;
    return served(
      { name: 'ascii', deadShareMax: 0.1, kind: 'modbus-ascii', port: pair.gatewayEnd, ...line },
      server,
      pair,
    );
  },
  'pymodbus by UDP': async () => {
    const server = await startPymodbus('udp', imageFile);
    return served(
      { name: 'udp', deadShareMax: 0.1, kind: 'modbus-udp', host: '127.0.0.1', port: server.port },
      server,
    );
  },
  'libmodbus by TCP': async () => {
    const server = await startLibmodbus('tcp', imageFile);
    return served(tcpBus(server.port), server);
  },
  'libmodbus by RTU': () => onPty('libmodbus', (path) => startLibmodbus('rtu', path, imageFile)),
} satisfies Record<string, () => Promise<Served>>;

describe(`${cells.length} values of every type, order and function code`, () => {
  for (const [name, serve] of Object.entries(servers)) {
    it(`from ${name}`, async () => {
      await using server = await serve();
      const { bus } = server;
      const points = cells.map(({ point }) => point);
      const device = modbusDevice('unit', { bus: bus.name, unitId: 1, points, responseTimeoutMs: 5000 });
      await using running = runFieldbus([bus], [device]);
      await until(() => running.samples.length >= 2, 'two samples');
      for (const { values, quality } of running.samples.slice(0, 2)) {
        assert.deepEqual(values, expected);
        assert.equal(quality, undefined);
      }
      assert.deepEqual(running.device('unit').failures, {});
    });
  }
});

describe('mbpoll as a reference', () => {
  for (const name of ['our simulator by TCP', 'pymodbus by TCP', 'libmodbus by TCP'] as const) {
    it(`reads the same of ${name}`, async () => {
      await using server = await servers[name]();
      const { bus } = server;
      assert.ok('host' in bus);
      let compared = 0;
      for (const { point, value } of cells) {
        const format = mbpollFormat(point);
        if (format === null) continue;
        const target = ['-0', '-1', '-r', String(point.address), '-p', String(bus.port), '127.0.0.1'];
        const { stdout } = await run('mbpoll', ['-m', 'tcp', ...format, ...target]);
        const said = /^\[\d+\]:\s+(\S+)(?: \((-?\d+)\))?$/m.exec(stdout);
        assert.ok(said, stdout);
        const read = Number(point.type === 'int16' ? (said[2] ?? said[1]) : said[1]);
        if (point.type === 'float32') assert.ok(Math.abs(read - Number(value)) < 1e-3, point.name);
        else assert.equal(read, Number(value), point.name);
        compared += 1;
      }
      assert.ok(compared >= 20, `${compared} compared`);
    });
  }

  /** mbpoll has no byte order, no unsigned 32 bits and nothing wider. */
  function mbpollFormat({
    table,
    type,
    byteOrder,
    wordOrder,
    scale,
    address,
  }: ModbusPointOptions): string[] | null {
    if (table === 'coil' || table === 'discrete') {
      return address % 10 === 0 ? ['-t', table === 'coil' ? '0' : '1'] : null;
    }
    if (byteOrder === 'little' || scale !== undefined) return null;
    const kind = table === 'holding' ? '4' : '3';
    if (type === 'int16' || type === 'uint16') return ['-t', kind];
    if (type !== 'int32' && type !== 'float32') return null;
    const suffix = type === 'int32' ? 'int' : 'float';
    return ['-t', `${kind}:${suffix}`, ...(wordOrder === 'big' ? ['-B'] : [])];
  }
});

describe('modbus-serial as a reference', () => {
  for (const name of [
    'our simulator by TCP',
    'pymodbus by TCP',
    'libmodbus by TCP',
    'our simulator by RTU',
  ] as const) {
    it(`reads the same of every register and bit of ${name}`, async () => {
      await using server = await servers[name]();
      const { bus } = server;
      const oracle = new ModbusRTU();
      if ('host' in bus) await oracle.connectTCP(bus.host, { port: bus.port });
      else await oracle.connectRTUBuffered((bus as BusKinds['modbus-rtu']).port, { ...own });
      oracle.setID(1);
      oracle.setTimeout(5000);
      try {
        for (const [table, { bytes }] of [
          ['Holding', holding],
          ['Input', input],
        ] as const) {
          const start = starts[table === 'Holding' ? 'holding' : 'input'];
          for (let at = 0; at < bytes.length / 2; at += 100) {
            const quantity = Math.min(100, bytes.length / 2 - at);
            const { buffer } = await oracle[`read${table}Registers`](start + at, quantity);
            assert.deepEqual(buffer, bytes.subarray(2 * at, 2 * (at + quantity)));
          }
        }
        const bitsOf = (data: boolean[], count: number): boolean[] => data.slice(0, count);
        const coils = await oracle.readCoils(starts.coil, coil.bits.length);
        assert.deepEqual(bitsOf(coils.data, coil.bits.length), coil.bits);
        const inputs = await oracle.readDiscreteInputs(starts.discrete, discrete.bits.length);
        assert.deepEqual(bitsOf(inputs.data, discrete.bits.length), discrete.bits);
      } finally {
        await new Promise<void>((resolve) => oracle.close(() => resolve()));
      }
    });
  }
});

describe('identification', () => {
  it('by 43/14, as pymodbus gives it', async () => {
    await using server = await servers['pymodbus by RTU']();
    await using bus = await openBus(server.bus, { clock: systemClock });
    const found = await identify(bus.client, 1, 5000);
    assert.deepEqual([...found!.objects.values()], ['Interop', 'PM3', '3.0']);
  });

  it('by 17, as libmodbus gives it', async () => {
    await using server = await servers['libmodbus by TCP']();
    await using bus = await openBus(server.bus, { clock: systemClock });
    const found = await identify(bus.client, 1, 5000);
    assert.match(Buffer.from(found!.serverId!).toString('latin1'), /LMB3/);
  });

  it('of a bus that can’t be opened says why', async () => {
    const bus = rtuBus(join(folder, 'nowhere'));
    await assert.rejects(openBus(bus, { clock: systemClock }), {
      code: 'PortUnavailable',
      message: /is not there/,
    });
  });
});
