import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { SerialPort } from 'serialport';
import { startModbusRtuDevice, type ModbusRtuDevice } from '../../src/simulator/modbus-rtu-device.ts';
import { startModbusTcpDevice, type ModbusTcpDevice } from '../../src/simulator/modbus-tcp-device.ts';
import { openPtyPair, type PtyPair } from '../../src/simulator/pty.ts';
import { RegisterImage } from '../../src/simulator/register-image.ts';

const run = promisify(execFile);
const mbpoll = (words: readonly string[]): Promise<{ stdout: string }> => run('mbpoll', words);

function image(value: number): RegisterImage {
  const unit = new RegisterImage();
  unit.define('input', 0, 4);
  unit.setFloat32('input', 2, value);
  return unit;
}

const units = new Map([
  [1, image(230.5)],
  [2, image(-18.25)],
]);
const readFloat = ['-t', '3:float', '-B', '-r', '3', '-c', '1', '-1'];

describe('simulated Modbus TCP device', () => {
  let device: ModbusTcpDevice;
  before(async () => (device = await startModbusTcpDevice(units)));
  after(() => device.close());

  for (const [unitId, value] of [
    ['1', '230.5'],
    ['2', '-18.25'],
  ] as const) {
    it(`gives mbpoll the value of unit ${unitId}`, async () => {
      const { stdout } = await mbpoll([...readFloat, '-a', unitId, '-p', String(device.port), '127.0.0.1']);
      assert.match(stdout, new RegExp(`\\[3\\]:\\s+${value}$`, 'm'));
    });
  }

  it('answers for a unit that it does not have as a gateway does', async () => {
    const answer = await exchange(device.port, ['0001 0000 0006 09 04 0000 0002'], 9);
    assert.equal(answer, '00010000000309840b');
  });

  it('answers pipelined requests in their order, for any pieces', async () => {
    const requests = '0007 0000 0006 01 04 0002 0002 0008 0000 0006 02 04 0002 0002'.replaceAll(' ', '');
    const answers = `0007000000070104044366800000080000000702040 4c1920000`.replaceAll(' ', '');
    for (const cut of [2, 10, 14, 24, 26, 46]) {
      assert.equal(await exchange(device.port, [requests.slice(0, cut), requests.slice(cut)], 26), answers);
    }
  });

  it('hangs up on what is no Modbus TCP', async () => {
    const socket = connect(device.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    await once(socket, 'close');
  });
});

describe('simulated Modbus RTU device', () => {
  let directory: string;
  let pair: PtyPair;
  let device: ModbusRtuDevice;
  const silent = new Set<number>();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'merestone-test-'));
    pair = await openPtyPair(directory, 'rs485');
    device = await startModbusRtuDevice(units, {
      path: pair.deviceEnd,
      answerAfterMs: (unitId) => (silent.has(unitId) ? undefined : 2),
    });
  });
  after(async () => {
    await device.close();
    await pair.close();
    await rm(directory, { recursive: true });
  });

  const line = (): string[] => ['-m', 'rtu', '-b', '19200', '-P', 'even', pair.gatewayEnd];

  it('gives mbpoll the value of each unit', async () => {
    for (const [unitId, value] of [
      ['1', '230.5'],
      ['2', '-18.25'],
    ] as const) {
      const { stdout } = await mbpoll([...readFloat, '-a', unitId, ...line()]);
      assert.match(stdout, new RegExp(`\\[3\\]:\\s+${value}$`, 'm'));
    }
  });

  it('is silent for units that are unplugged or absent, and comes back', async () => {
    const asks = (unitId: string): Promise<unknown> =>
      mbpoll([...readFloat, '-o', '0.3', '-a', unitId, ...line()]);
    await assert.rejects(asks('3'));
    silent.add(2);
    await assert.rejects(asks('2'));
    await asks('1');
    silent.delete(2);
    await asks('2');
  });

  it('does not answer damaged requests, and finds the next good one after noise', async () => {
    const port = new SerialPort({ path: pair.gatewayEnd, baudRate: 19_200, parity: 'even' });
    const heard: Buffer[] = [];
    port.on('data', (chunk: Buffer) => heard.push(chunk));
    port.write(Buffer.from('0104000200029000', 'hex'));
    port.write(Buffer.from('ffff0104', 'hex'));
    port.write(Buffer.from('010400020002d00b', 'hex'));
    while (Buffer.concat(heard).length < 9) await once(port, 'data');
    port.close();
    assert.match(Buffer.concat(heard).toString('hex'), /^01040443668000[0-9a-f]{4}$/);
  });
});

describe('pseudo-terminal pair', () => {
  it('carries more than its buffers hold, unchanged, both ways', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'merestone-test-'));
    await using pair = Object.assign(await openPtyPair(directory, 'line'), {
      [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
    });
    // Every byte that a terminal would mind in cooked mode is among them.
    const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) % 256));
    const ends = [pair.gatewayEnd, pair.deviceEnd].map((path) => new SerialPort({ path, baudRate: 115_200 }));
    await Promise.all(ends.map((port) => once(port, 'open')));
    for (const [from, to] of [ends, ends.toReversed()] as [SerialPort, SerialPort][]) {
      const heard: Buffer[] = [];
      const isAll = new Promise<void>((resolve) => {
        to.on('data', (chunk: Buffer) => {
          heard.push(chunk);
          if (Buffer.concat(heard).length >= sent.length) resolve();
        });
      });
      from.write(sent);
      await isAll;
      to.removeAllListeners('data');
      assert.ok(Buffer.concat(heard).equals(sent));
    }
    const closed = ends.map((port) => once(port, 'close'));
    await pair.close();
    await Promise.all(closed);
  });

  it('hangs up when it is closed, and leaves nothing behind', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'merestone-test-'));
    const descriptors = readdirSync('/proc/self/fd').length;
    const pair = await openPtyPair(directory, 'line');
    const port = new SerialPort({ path: pair.gatewayEnd, baudRate: 9600 });
    await once(port, 'open');
    port.resume();
    const hungUp = once(port, 'close');
    await pair.close();
    await hungUp;
    assert.equal(existsSync(pair.gatewayEnd) || existsSync(pair.deviceEnd), false);
    assert.equal(readdirSync('/proc/self/fd').length, descriptors);
    await rm(directory, { recursive: true });
  });

  it('reports why it cannot be made', async () => {
    const descriptors = readdirSync('/proc/self/fd').length;
    await assert.rejects(openPtyPair('/no/such/folder', 'line'), { code: 'PortUnavailable', hint: /folder/ });
    assert.equal(readdirSync('/proc/self/fd').length, descriptors);
  });
});

describe('plant', () => {
  it('serves 125 registers of many units from a process of its own', async () => {
    const plant = spawn(process.execPath, [join(import.meta.dirname, '../../src/simulator/plant.ts'), '80']);
    try {
      const [line] = (await once(plant.stdout, 'data')) as [Buffer];
      const { port } = JSON.parse(line.toString()) as { port: number };
      const from = ['-a', '80', '-p', String(port), '127.0.0.1'];
      const registers = async (): Promise<number[]> => {
        const { stdout } = await mbpoll(['-0', '-t', '4', '-r', '0', '-c', '125', '-1', ...from]);
        return [...stdout.matchAll(/^\[\d+\]:\s+(\d+)/gm)].map((row) => Number(row[1]));
      };
      const [first, second] = [await registers(), await registers()];
      assert.deepEqual([first.length, first[0], second[0]], [125, 1, 2]);
      for (const [index, value] of first.entries()) assert.ok(Math.abs(value - second[index]!) <= 2);
    } finally {
      plant.kill();
      await once(plant, 'exit');
    }
  });
});

/** Sends the pieces one by one and returns the first `bytes` that come back, in hex. */
async function exchange(port: number, pieces: readonly string[], bytes: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const heard: Buffer[] = [];
  socket.on('data', (chunk) => heard.push(chunk));
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(Buffer.from(piece.replaceAll(' ', ''), 'hex'), resolve));
  }
  while (Buffer.concat(heard).length < bytes) await once(socket, 'data');
  socket.destroy();
  return Buffer.concat(heard).toString('hex');
}
