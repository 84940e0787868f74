import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { driverOfBus } from '../../src/fieldbus/drivers.ts';
import type { BusOptions, ModbusDeviceOptions } from '../../src/fieldbus/options.ts';
import type { OpenChannel } from '../../src/fieldbus/port/port.ts';
import { startModbusRtuDevice } from '../../src/simulator/modbus-rtu-device.ts';
import { startModbusTcpDevice } from '../../src/simulator/modbus-tcp-device.ts';
import { openPtyPair } from '../../src/simulator/pty.ts';
import { RegisterImage } from '../../src/simulator/register-image.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../support/modbus-options.ts';
import { startLibmodbus } from '../support/modbus-servers.ts';
import { runFieldbus } from '../support/running-fieldbus.ts';
import { until } from '../support/until.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

/** A register holds its own address and 1000. */
function image(): RegisterImage {
  const registers = new RegisterImage();
  registers.define('holding', 0, 100);
  for (let address = 0; address < 100; address += 1) registers.setInt16('holding', address, 1000 + address);
  return registers;
}

const units = new Map([[1, image()]]);
const imageFile = join(folder, 'image');
writeFileSync(
  imageFile,
  `holding 0 ${Array.from({ length: 100 }, (_, address) => (1000 + address).toString(16).padStart(4, '0')).join('')}\n`,
);

function reader(
  name: string,
  silo: string,
  bus: BusOptions,
  addresses: readonly number[],
): ModbusDeviceOptions {
  const points = addresses.map((address) =>
    registerPoint(`p${address}`, { table: 'holding', address, type: 'int16', everyMs: 50 }),
  );
  return modbusDevice(name, {
    silo,
    bus: bus.name,
    unitId: 1,
    points,
    everyMs: 50,
    responseTimeoutMs: 10_000,
  });
}

/** The real channels, and how often each bus was opened. */
function counting() {
  const openings: string[] = [];
  const openChannel = (bus: BusOptions): OpenChannel => {
    const open = driverOfBus(bus.kind).openChannel(bus);
    return (...parameters) => {
      openings.push(bus.name);
      return open(...parameters);
    };
  };
  return { openings, openChannel };
}

const servers = {
  'our simulator': () => startModbusTcpDevice(units),
  libmodbus: () => startLibmodbus('tcp', imageFile),
};

describe('a change on a real connection', () => {
  for (const [name, start] of Object.entries(servers)) {
    for (const pipeline of [1, 4]) {
      it(`to ${name}, ${pipeline} in flight, leaves the connection and the other silo's device alone`, async () => {
        const server = await start();
        const bus = tcpBus(server.port, { pipeline });
        const { openings, openChannel } = counting();
        const stays = reader('stays', 'north', bus, [0, 1, 2]);
        const changes = [
          [reader('other', 'south', bus, [40, 80])],
          [reader('other', 'south', bus, [41])],
          [reader('renamed', 'south', bus, [42]), reader('more', 'south', bus, [43])],
          [],
        ];
        try {
          await using running = runFieldbus([bus], [stays, reader('other', 'south', bus, [44])], openChannel);
          const count = (device: string): number =>
            running.samples.filter((sample) => sample.device === device).length;
          await until(() => count('stays') >= 3 && count('other') >= 3, 'the first samples');
          for (const changed of changes) {
            await running.fieldbus.reconfigure({ buses: [bus], devices: [stays, ...changed] });
            const before = running.samples.length;
            const all = changed.flatMap(({ name, points }) =>
              points.map((point) => ({ name, point: point.name })),
            );
            await until(
              () =>
                all.every(({ name, point }) =>
                  running.samples
                    .slice(before)
                    .some(({ device, values }) => device === name && point in values),
                ) && running.samples.slice(before).filter(({ device }) => device === 'stays').length >= 5,
              `samples of ${changed.map(({ name }) => name).join() || 'the one that stays'}`,
            );
            const names = new Set(running.samples.slice(before).map(({ device }) => device));
            const expected = new Set(['stays', ...changed.map(({ name }) => name)]);
            assert.deepEqual([...names].sort(), [...expected].sort());
          }
          assert.deepEqual(openings, ['plant']);
          assert.equal(running.device('stays').samples, count('stays'));
          for (const { values, quality } of running.samples) {
            assert.equal(quality, undefined);
            for (const [name, value] of Object.entries(values))
              assert.equal(value, 1000 + Number(name.slice(1)));
          }
        } finally {
          await server.close();
        }
      });
    }
  }

  it('of one endpoint reopens that one, and no other', async () => {
    const [first, second] = [await startModbusTcpDevice(units), await startModbusTcpDevice(units)];
    const buses = [tcpBus(first.port, { name: 'a' }), tcpBus(second.port, { name: 'b' })];
    const { openings, openChannel } = counting();
    const devices = buses.map((bus) => reader(`on ${bus.name}`, 'north', bus, [0]));
    try {
      await using running = runFieldbus(buses, devices, openChannel);
      const later = async (what: string): Promise<void> => {
        const before = running.samples.length;
        const read = (name: string) => running.samples.slice(before).some(({ device }) => device === name);
        await until(() => devices.every(({ name }) => read(name)), what);
      };
      await later('samples of both');
      await running.fieldbus.reconfigure({ buses: [buses[0]!, { ...buses[1]!, pipeline: 2 }], devices });
      await later('samples of both again');
      assert.deepEqual(openings, ['a', 'b', 'b']);
      assert.ok(running.samples.every(({ quality }) => quality === undefined));
    } finally {
      await Promise.all([first.close(), second.close()]);
    }
  });
});

describe('a change of a serial line', () => {
  it('closes it before it is opened under its new name, because it can be open only once', async () => {
    const pair = await openPtyPair(folder, 'line');
    const server = await startModbusRtuDevice(units, {
      path: pair.deviceEnd,
      baudRate: 19_200,
      parity: 'none',
    });
    const bus = rtuBus(pair.gatewayEnd);
    const { openings, openChannel } = counting();
    try {
      await using running = runFieldbus([bus], [reader('meter', 'north', bus, [0, 1])], openChannel);
      await until(() => running.samples.length >= 3, 'samples');
      const other = { ...bus, name: 'line 2' };
      for (const next of [other, bus, other]) {
        await running.fieldbus.reconfigure({ buses: [next], devices: [reader('meter', 'north', next, [7])] });
        const before = running.samples.length;
        await until(() => running.samples.length >= before + 3, `samples of ${next.name}`);
        for (const { values } of running.samples.slice(before)) assert.deepEqual(values, { p7: 1007 });
      }
      assert.deepEqual(openings, ['rs485', 'line 2', 'rs485', 'line 2'], 'it was there at the first try');
    } finally {
      await server.close();
      await pair.close();
    }
  });
});
