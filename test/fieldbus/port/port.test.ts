import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { silentLogger } from '../../../src/base/logger.ts';
import { AdapterLocator, identifyAdapter, isSameAdapter } from '../../../src/fieldbus/port/adapter.ts';
import { setLowLatency, setRs485 } from '../../../src/fieldbus/port/line-control.ts';
import {
  type Channel,
  type ChannelEvents,
  createPort,
  nextPortState,
  type PortEvent,
  type PortState,
} from '../../../src/fieldbus/port/port.ts';
import { serialChannel } from '../../../src/fieldbus/port/serial-channel.ts';
import { startModbusRtuDevice } from '../../../src/simulator/modbus-rtu-device.ts';
import { startModbusTcpDevice } from '../../../src/simulator/modbus-tcp-device.ts';
import { openPtyPair, type PtyPair } from '../../../src/simulator/pty.ts';
import { RegisterImage } from '../../../src/simulator/register-image.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { mbapFrame } from '../../support/modbus-frames.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../../support/modbus-options.ts';
import { type RunningFieldbus, runFieldbus } from '../../support/running-fieldbus.ts';
import { until } from '../../support/until.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

const image = new RegisterImage();
image.define('holding', 0, 10);
image.setInt16('holding', 0, 42);
const units = new Map([[1, image]]);
const points = [registerPoint('value', { table: 'holding', address: 0, type: 'int16', everyMs: 100 })];

describe('the states of a port', () => {
  const lost: PortState = { kind: 'lost', reason: 'gone' };
  const states: PortState[] = [
    { kind: 'opening' },
    { kind: 'open' },
    { kind: 'idle' },
    lost,
    { kind: 'closed' },
  ];
  const events: PortEvent[] = [
    { kind: 'opened' },
    { kind: 'failed', reason: 'gone' },
    { kind: 'idled' },
    { kind: 'wanted' },
    { kind: 'retried' },
    { kind: 'closed' },
  ];
  // Rows are states, columns events, both in the order above.
  const table = [
    ['open', 'lost', 'opening', 'opening', 'opening', 'closed'],
    ['open', 'lost', 'idle', 'open', 'open', 'closed'],
    ['idle', 'idle', 'idle', 'opening', 'idle', 'closed'],
    ['lost', 'lost', 'lost', 'lost', 'opening', 'closed'],
    ['closed', 'closed', 'closed', 'closed', 'closed', 'closed'],
  ];
  for (const [row, state] of states.entries()) {
    for (const [column, event] of events.entries()) {
      it(`${state.kind}, ${event.kind}: ${table[row]![column]}`, () => {
        assert.equal(nextPortState(state, event).kind, table[row]![column]);
      });
    }
  }
});

describe('a port', () => {
  function scripted() {
    const clock = new FakeClock();
    const opened: { events: ChannelEvents; isClosed: boolean }[] = [];
    let refusal: Error | null = null;
    const open = (events: ChannelEvents): Promise<Channel> => {
      if (refusal) return Promise.reject(refusal);
      const record = { events, isClosed: false };
      opened.push(record);
      return Promise.resolve({
        write: () => {},
        read: () => new Uint8Array(0),
        watch: () => {},
        setBaudRate: () => Promise.resolve(),
        close: () => {
          record.isClosed = true;
          return Promise.resolve();
        },
      });
    };
    return { clock, opened, open, refuse: (error: Error | null) => (refusal = error) };
  }

  it('is reopened after pauses that grow to five seconds, for as long as it takes', async () => {
    const { clock, opened, open, refuse } = scripted();
    const port = createPort(open, { clock, logger: silentLogger, random: () => 1 });
    await clock.advanceAsync(1);
    assert.equal(port.state.kind, 'open');
    refuse(new Error('no such device'));
    opened[0]!.events.ended('pulled out');
    assert.deepEqual(port.state, { kind: 'lost', reason: 'pulled out' });
    assert.ok(opened[0]!.isClosed);
    await clock.advanceAsync(60_000);
    assert.deepEqual(port.state, { kind: 'lost', reason: 'no such device' });
    refuse(null);
    await clock.advanceAsync(5000);
    assert.equal(port.state.kind, 'open');
    opened[0]!.events.ended('an event of the channel before it');
    assert.equal(port.state.kind, 'open');
    await port.close();
    assert.ok(opened[1]!.isClosed);
    assert.equal(clock.timers, 0);
  });

  it('closes when idle, and opens when it is wanted', async () => {
    const { clock, opened, open } = scripted();
    const port = createPort(open, { clock, logger: silentLogger, idleCloseMs: () => 1000 });
    await clock.advanceAsync(900);
    port.write(Uint8Array.of(1));
    const state = (): string => port.state.kind;
    await clock.advanceAsync(900);
    assert.equal(state(), 'open');
    await clock.advanceAsync(200);
    assert.equal(state(), 'idle');
    assert.throws(() => port.write(Uint8Array.of(1)), { code: 'PortUnavailable' });
    port.wake();
    await clock.advanceAsync(1);
    assert.equal(state(), 'open');
    assert.equal(opened.length, 2);
    await port.close();
  });

  it('closed while it was opening leaves nothing open', async () => {
    const { clock, opened, open } = scripted();
    const port = createPort(open, { clock, logger: silentLogger });
    await port.close();
    await clock.advanceAsync(10_000);
    assert.ok(opened.every(({ isClosed }) => isClosed));
    assert.equal(port.state.kind, 'closed');
  });
});

/** A sysfs with USB adapters in it: tty name, where it is plugged in, and its serial number. */
function fakeSysfs(
  root: string,
  adapters: { tty: string; socket: string; serial?: string; product?: string }[],
): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, 'class/tty'), { recursive: true });
  for (const { tty, socket, serial, product = '6001' } of adapters) {
    const device = join(root, 'devices/usb1', socket);
    const line = join(device, `${socket}:1.0`, tty);
    mkdirSync(line, { recursive: true });
    writeFileSync(join(device, `${socket}:1.0`, 'bInterfaceNumber'), '00\n');
    writeFileSync(join(device, 'idVendor'), '0403\n');
    writeFileSync(join(device, 'idProduct'), `${product}\n`);
    if (serial !== undefined) writeFileSync(join(device, 'serial'), `${serial}\n`);
    mkdirSync(join(root, 'class/tty', tty));
    symlinkSync(line, join(root, 'class/tty', tty, 'device'));
  }
}

describe('a USB adapter', () => {
  const sys = join(folder, 'sys');
  const dev = join(folder, 'dev');

  it('is known by its serial number, else by its USB port', () => {
    fakeSysfs(sys, [
      { tty: 'ttyUSB0', socket: '1-1', serial: 'A1' },
      { tty: 'ttyUSB1', socket: '1-2', serial: 'A2' },
      { tty: 'ttyUSB2', socket: '1-3', product: '7523' },
      { tty: 'ttyUSB3', socket: '1-4', product: '7523' },
    ]);
    const [first, second, third, fourth] = [0, 1, 2, 3].map((n) => identifyAdapter(`ttyUSB${n}`, sys));
    assert.ok(first && second && third && fourth);
    assert.deepEqual(first, {
      vendorId: '0403',
      productId: '6001',
      serial: 'A1',
      interface: '00',
      socket: '1-1:1.0',
    });
    assert.ok(isSameAdapter(first, { ...first, socket: '2-9:1.0' }));
    assert.ok(!isSameAdapter(first, second));
    assert.ok(!isSameAdapter(third, fourth));
    assert.equal(identifyAdapter('ttyS0', sys), null);
  });

  it('is searched under every name, and not replaced by another that took its name', () => {
    mkdirSync(dev);
    const plug = (tty: string): void => writeFileSync(join(dev, tty), '');
    const locator = new AdapterLocator(join(dev, 'ttyUSB0'), { sys, dev });
    assert.throws(() => locator.locate(), { code: 'PortUnavailable', message: /ttyUSB0 is not there/ });
    plug('ttyUSB0');
    fakeSysfs(sys, [{ tty: 'ttyUSB0', socket: '1-1', serial: 'A1' }]);
    assert.equal(locator.locate(), join(dev, 'ttyUSB0'));
    assert.ok(locator.remember(join(dev, 'ttyUSB0')));
    fakeSysfs(sys, [{ tty: 'ttyUSB0', socket: '1-1', serial: 'OTHER' }]);
    assert.throws(() => locator.locate(), {
      code: 'PortUnavailable',
      message: /serial number A1 is not plugged in/,
    });
    plug('ttyUSB7');
    fakeSysfs(sys, [
      { tty: 'ttyUSB0', socket: '1-1', serial: 'OTHER' },
      { tty: 'ttyUSB7', socket: '1-3', serial: 'A1' },
    ]);
    assert.equal(locator.locate(), join(dev, 'ttyUSB7'));
  });

  it('is asked for low latency, and the kernel for RS-485 direction, by the right ioctl', () => {
    const calls: [number, string][] = [];
    const ioctl = (_descriptor: number, request: number, argument: Buffer): number => {
      calls.push([request, argument.toString('hex')]);
      return 0;
    };
    assert.ok(setLowLatency(ioctl, 9));
    setRs485(ioctl, 9, { rtsOnSend: true, rtsAfterSend: false, delayBeforeSendMs: 1, delayAfterSendMs: 2 });
    const [get, set, rs485] = calls;
    assert.equal(get![0], 0x541e);
    assert.deepEqual([set![0], set![1].slice(32, 40)], [0x541f, '00200000']);
    assert.deepEqual(rs485, [0x542f, `030000000100000002000000${'00'.repeat(20)}`]);
    assert.ok(!setLowLatency(() => -1, 9));
    const refused = (): void =>
      setRs485(() => -1, 9, {
        rtsOnSend: true,
        rtsAfterSend: false,
        delayBeforeSendMs: 0,
        delayAfterSendMs: 0,
      });
    assert.throws(refused, { code: 'PortUnavailable', hint: /remove 'rs485'/ });
  });
});

describe('an adapter pulled out and put back', () => {
  const lineOptions = { baudRate: 115_200, parity: 'none' as const };

  async function values(running: RunningFieldbus, count: number, what: string): Promise<void> {
    const from = running.samples.length;
    await until(
      () => running.samples.slice(from).filter(({ values }) => values.value === 42).length >= count,
      what,
    );
  }

  async function offline(running: RunningFieldbus): Promise<void> {
    const from = running.samples.length;
    const isOffline = (): number =>
      running.samples.slice(from).filter(({ quality }) => quality?.value === 'offline').length;
    await until(() => isOffline() >= 3, 'its points are offline, on schedule');
  }

  async function plugIn(name: string): Promise<PtyPair & AsyncDisposable> {
    const pair = await openPtyPair(folder, name);
    const device = await startModbusRtuDevice(units, { path: pair.deviceEnd, ...lineOptions });
    const close = async (): Promise<void> => {
      await device.close();
      await pair.close();
    };
    return { ...pair, close, [Symbol.asyncDispose]: close };
  }

  it('is found again by its link in /dev/serial/by-id', async () => {
    const byId = join(folder, 'usb-FTDI-if00-port0');
    await using before = await plugIn('ttyA');
    symlinkSync(before.gatewayEnd, byId);
    const device = modbusDevice('meter', { bus: 'rs485', unitId: 1, points, responseTimeoutMs: 300 });
    await using running = runFieldbus([rtuBus(byId, { baudRate: 115_200 })], [device]);
    await values(running, 3, 'values before');
    await before.close();
    unlinkSync(byId);
    await offline(running);
    assert.equal(running.device('meter').state, 'offline');
    const [bus] = running.fieldbus.status();
    assert.equal(bus!.state, 'lost');
    assert.match(bus!.reason!, /gone|not there/);
    await using again = await plugIn('ttyB');
    symlinkSync(again.gatewayEnd, byId);
    await values(running, 3, 'values after it was put back under another name');
    assert.equal(running.device('meter').state, 'good');
  });

  it('is found again by its serial number, though another one has taken its name', async () => {
    const roots = { sys: join(folder, 'sys-replug'), dev: '/dev/pts', proc: '/proc' };
    await using before = await plugIn('ttyC');
    const name = realpathSync(before.gatewayEnd);
    fakeSysfs(roots.sys, [{ tty: basename(name), socket: '1-1', serial: 'S1' }]);
    const device = modbusDevice('meter', { bus: 'rs485', unitId: 1, points, responseTimeoutMs: 300 });
    const bus = rtuBus(name, { baudRate: 115_200 });
    await using running = runFieldbus([bus], [device], () => serialChannel(bus, roots));
    await values(running, 3, 'values before');
    fakeSysfs(roots.sys, []);
    await before.close();
    await offline(running);
    await using otherUser = await plugIn('ttyD');
    await using again = await plugIn('ttyE');
    fakeSysfs(roots.sys, [
      { tty: basename(realpathSync(otherUser.gatewayEnd)), socket: '1-1', serial: 'S9' },
      { tty: basename(realpathSync(again.gatewayEnd)), socket: '1-4', serial: 'S1' },
    ]);
    await values(running, 3, 'values after it was put back');
  });

  it('held by another program: says by which', async () => {
    await using pair = await plugIn('ttyF');
    const holder: ChildProcess = spawn('flock', ['-x', pair.gatewayEnd, 'sleep', '60'], {
      stdio: 'ignore',
      detached: true,
    });
    try {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const device = modbusDevice('meter', { bus: 'rs485', unitId: 1, points });
      await using running = runFieldbus([rtuBus(pair.gatewayEnd, { baudRate: 115_200 })], [device]);
      await until(() => running.fieldbus.status()[0]!.state === 'lost', 'the port is refused');
      assert.match(
        running.fieldbus.status()[0]!.reason!,
        /is held by process \d+ \((flock|sleep)\); stop that program/,
      );
      process.kill(-holder.pid!);
      await values(running, 1, 'values once the other program has ended');
    } finally {
      if (holder.exitCode === null && holder.signalCode === null) process.kill(-holder.pid!);
    }
  });

  it('shared with a program that takes no lock: says with which, where devices do not answer', async () => {
    await using pair = await plugIn('ttyH');
    const end = openSync(pair.gatewayEnd, 'r+');
    const sharer = spawn('sleep', ['60'], { stdio: [end, 'ignore', 'ignore'] });
    closeSync(end);
    try {
      const device = modbusDevice('meter', { bus: 'rs485', unitId: 9, points, responseTimeoutMs: 100 });
      await using running = runFieldbus([rtuBus(pair.gatewayEnd, { baudRate: 115_200 })], [device]);
      await until(
        () => /process \d+ \(sleep\) has the port open as well/.test(running.device('meter').reason ?? ''),
        'the reason names the other program',
      );
      assert.match(running.device('meter').reason!, new RegExp(`process ${sharer.pid} .*stop it$`));
    } finally {
      sharer.kill();
    }
  });

  it('an RS-485 mode that the driver does not have is refused with a hint', async () => {
    await using pair = await plugIn('ttyG');
    const bus = {
      ...rtuBus(pair.gatewayEnd),
      rs485: { rtsOnSend: true, rtsAfterSend: false, delayBeforeSendMs: 0, delayAfterSendMs: 0 },
    };
    await using running = runFieldbus([bus], [modbusDevice('meter', { bus: 'rs485', unitId: 1, points })]);
    await until(() => running.fieldbus.status()[0]!.state === 'lost', 'the port is refused');
    assert.match(running.fieldbus.status()[0]!.reason!, /no RS-485 mode; remove 'rs485'/);
  });
});

describe('a TCP endpoint', () => {
  const device = modbusDevice('pump', { bus: 'plant', unitId: 1, points, responseTimeoutMs: 200 });

  it('that is lost leaves its points offline, and is connected again', async () => {
    const server = await startModbusTcpDevice(units);
    const { port } = server;
    await using running = runFieldbus([tcpBus(port)], [device]);
    await until(() => running.samples.some(({ values }) => values.value === 42), 'a value');
    await server.close();
    await until(() => running.samples.at(-1)?.quality?.value === 'offline', 'offline');
    assert.match(running.fieldbus.status()[0]!.reason!, /closed|ECONNREFUSED|ECONNRESET/);
    const again = await startModbusTcpDevice(units, port);
    await until(() => running.samples.at(-1)?.values.value === 42, 'a value again');
    await again.close();
  });

  it('that falls silent is connected again', async () => {
    const sockets: Socket[] = [];
    const server: Server = createServer((socket) => {
      sockets.push(socket.on('error', () => {}));
      // The first connection falls silent after one answer, the second works.
      const answers = sockets.length === 1 ? 1 : Infinity;
      let count = 0;
      socket.on('data', (request: Buffer) => {
        count += 1;
        if (count <= answers) socket.write(mbapFrame(request.readUInt16BE(0), 1, 3, 2, 0, 42));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const running = runFieldbus([tcpBus(port)], [device]);
    await until(() => sockets.length >= 2, 'a second connection after three requests without an answer');
    const from = running.samples.length;
    await until(() => running.samples.slice(from).some(({ values }) => values.value === 42), 'a value again');
    assert.ok(running.device('pump').failures.timeout! >= 3);
    await running.fieldbus.stop();
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it('whose connection idles is closed, and connected again when a point is due', async () => {
    const server = await startModbusTcpDevice(units);
    const rare = { ...device, points: points.map((point) => ({ ...point, everyMs: 400 })) };
    await using running = runFieldbus([tcpBus(server.port, { idleCloseMs: 100 })], [rare]);
    await until(
      () => running.samples.filter(({ values }) => values.value === 42).length >= 3,
      'three values',
    );
    assert.equal(running.fieldbus.status()[0]!.state, 'open');
    assert.ok(running.samples.every(({ quality }) => quality === undefined));
    await running.fieldbus.stop();
    await server.close();
  });
});
