import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { identify } from '../../src/fieldbus/modbus/identification.ts';
import { openBus } from '../../src/fieldbus/modbus/modbus-endpoint.ts';
import { encodeRequest } from '../../src/fieldbus/modbus/pdu.ts';
import type { ModbusTable } from '../../src/fieldbus/options.ts';
import { startModbusTcpDevice } from '../../src/simulator/modbus-tcp-device.ts';
import { RegisterImage } from '../../src/simulator/register-image.ts';
import { modbusDevice, registerPoint, tcpBus } from '../support/modbus-options.ts';
import { runFieldbus } from '../support/running-fieldbus.ts';
import { until } from '../support/until.ts';

/** Modbus V1.1b3 §6: all function codes but the four that read data and the two that identify. */
const others = Array.from({ length: 128 }, (_, code) => code).filter(
  (code) => ![1, 2, 3, 4, 17, 43].includes(code),
);
const tables: ModbusTable[] = ['coil', 'discrete', 'input', 'holding'];

describe('Merestone only reads', () => {
  it('no request with another function code can be encoded', () => {
    for (const functionCode of others) {
      const request = { functionCode, address: 0, quantity: 1 } as unknown as Parameters<
        typeof encodeRequest
      >[0];
      assert.throws(() => encodeRequest(request), { code: 'Internal' });
    }
  });

  it('no client that can write is within its reach', () => {
    const root = new URL('../../src', import.meta.url).pathname;
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    );
    // Of modbus-serial only transports are used: they send what they get, and a frame channel gives them only reads.
    const modules = files.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/'(modbus-serial[^']*)'/g)].map(
        ([, module]) => `${file} ${module}`,
      ),
    );
    assert.deepEqual(modules.sort(), [
      'fieldbus/modbus/transport/ascii-channel.ts modbus-serial/ports/asciiport.js',
      'fieldbus/modbus/transport/udp-channel.ts modbus-serial/ports/udpport.js',
    ]);
  });

  it('sends no other function code, for any poll, refusal or identity question', async () => {
    const image = new RegisterImage();
    const codes = new Set<number>();
    for (const table of tables) image.define(table, 0, 8);
    const recording = {
      answer: (request: Uint8Array) => {
        codes.add(request[0]!);
        return image.answer(request);
      },
    };
    const server = await startModbusTcpDevice(new Map([[1, recording]]));
    const bus = tcpBus(server.port);
    const points = tables.flatMap((table) =>
      [0, 4, 9].map((address) => {
        const type = table === 'coil' || table === 'discrete' ? 'bool' : 'int16';
        return registerPoint(`${table}${address}`, { table, address, type, everyMs: 50 });
      }),
    );
    const running = runFieldbus([bus], [modbusDevice('all', { bus: bus.name, unitId: 1, points })]);
    await until(() => running.samples.length >= 3, 'three samples');
    await running.fieldbus.stop();
    const opened = await openBus(bus, { clock: systemClock });
    await identify(opened.client, 1, 2000);
    await opened[Symbol.asyncDispose]();
    await server.close();
    assert.deepEqual(
      [...codes].sort((a, b) => a - b),
      [1, 2, 3, 4, 17, 43],
    );
  });
});
