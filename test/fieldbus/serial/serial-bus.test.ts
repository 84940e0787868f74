import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SerialPort } from 'serialport';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { SerialDeviceOptions, SerialLineOptions } from '../../../src/fieldbus/options.ts';
import { createPort } from '../../../src/fieldbus/port/port.ts';
import { serialChannel } from '../../../src/fieldbus/port/serial-channel.ts';
import { expandProfile } from '../../../src/config/profile/expansion.ts';
import { loadProfile } from '../../../src/config/profile/profile.ts';
import { createSerialBus } from '../../../src/fieldbus/serial/serial-bus.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import { startNmeaSensor } from '../../../src/simulator/nmea-sensor.ts';
import { openPtyPair } from '../../../src/simulator/pty.ts';
import type { PtyPair } from '../../../src/simulator/pty.ts';
import { until } from '../../support/until.ts';
import { sensor } from './rig.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'merestone-serial-'));
});
after(() => rm(directory, { recursive: true }));

function startBus(pty: PtyPair, devices: SerialDeviceOptions[]) {
  const line: SerialLineOptions = {
    port: pty.gatewayEnd,
    baudRate: 9600,
    dataBits: 8,
    parity: 'none',
    stopBits: 1,
  };
  const port = createPort(serialChannel(line), { clock: systemClock, logger: silentLogger });
  const samples: Sample[] = [];
  const bus = createSerialBus(line, {
    port,
    clock: systemClock,
    logger: silentLogger,
    deliver: (_silo, sample) => samples.push(sample),
    onShare: () => {},
    lateAnswers: new Map(),
    onIdentity: () => {},
  });
  bus.assign(devices, new Map());
  const stop = async (): Promise<void> => {
    bus.stop();
    await port.close();
  };
  return { bus, samples, stop };
}

async function openDeviceEnd(pty: PtyPair): Promise<SerialPort> {
  const end = new SerialPort({ path: pty.deviceEnd, baudRate: 9600, autoOpen: false });
  await new Promise<void>((resolve, reject) => end.open((error) => (error ? reject(error) : resolve())));
  return end;
}

const closed = (end: SerialPort): Promise<void> => new Promise((resolve) => end.close(() => resolve()));

describe('a serial bus on a pseudo-terminal', () => {
  it('reads the weather mast by its profile, and finds it again when the adapter comes back', async () => {
    // A burst takes half a second on its line, and is waited for half an interval at most.
    const everyMs = 2000;
    const profile = loadProfile('nmea-0183', [new URL('../../../config/profiles', import.meta.url).pathname]);
    const expansion = expandProfile(profile, { everyMs });
    assert.equal(expansion.kind, 'serial');
    const device = {
      ...sensor({ messages: [{ fields: [] }] }, everyMs),
      ...expansion,
    } as SerialDeviceOptions;
    let pty = await openPtyPair(directory, 'mast');
    let mast = await startNmeaSensor(pty.deviceEnd, everyMs);
    const { bus, samples, stop } = startBus(pty, [device]);
    try {
      const isWhole = ({ values }: Sample): boolean =>
        ['latitude', 'longitude', 'altitude', 'wind_speed', 'air_temperature', 'pressure'].every(
          (name) => name in values,
        );
      await until(() => samples.some(isWhole), 'a burst as one sample');
      const { values } = samples.find(isWhole)!;
      assert.equal(values['latitude'], 53.58691667);
      assert.equal(values['longitude'], 10.00806667);
      assert.ok(Number(values['pressure']) > 1000 && Number(values['pressure']) < 1030);
      await mast.close();
      await pty.close();
      await until(() => bus.devices()[0]!.state === 'offline', 'offline');
      assert.equal(samples.at(-1)?.quality?.['latitude'], 'offline');
      const before = samples.length;
      pty = await openPtyPair(directory, 'mast');
      mast = await startNmeaSensor(pty.deviceEnd, everyMs);
      await until(() => samples.slice(before).some(isWhole), 'values again');
    } finally {
      await stop();
      await mast.close();
      await pty.close();
    }
  });

  it('says that a sensor is offline whose port was never there, and reads it once it is', async () => {
    const nowhere = { gatewayEnd: join(directory, 'later') } as PtyPair;
    const scale = sensor(
      { messages: [{ pattern: '^(?<weight>[+-]\\d+) kg', fields: [{ name: 'weight' }] }] },
      100,
    );
    const asked = {
      ...sensor({ request: '?', messages: [{ fields: [{ name: 'x', pattern: '(\\d+)' }] }] }, 100),
      name: 'asked',
    };
    const { bus, samples, stop } = startBus(nowhere, [scale, asked]);
    try {
      await until(() => bus.devices().every(({ state }) => state === 'offline'), 'offline');
      assert.deepEqual(samples[0]?.quality, { weight: 'offline' });
      const pty = await openPtyPair(directory, 'later');
      const end = await openDeviceEnd(pty);
      const talking = setInterval(() => end.write('+7 kg\r\n'), 50);
      try {
        await until(() => samples.some(({ values }) => values['weight'] === 7), 'a weight');
        assert.ok(bus.load() > 0);
      } finally {
        clearInterval(talking);
        await closed(end);
        await pty.close();
      }
    } finally {
      await stop();
    }
  });

  it('asks two sensors on one line one after the other', async () => {
    const pty = await openPtyPair(directory, 'shared');
    const end = await openDeviceEnd(pty);
    const asked: string[] = [];
    let isBusy = false;
    end.on('data', (chunk: Buffer) => {
      const question = chunk.toString('latin1');
      asked.push(isBusy ? `${question} while busy` : question);
      isBusy = true;
      setTimeout(() => {
        isBusy = false;
        end.write(`${question[0]}+${question[0]}.5\r\n`);
      }, 20);
    });
    const probe = (address: number): SerialDeviceOptions => ({
      ...sensor(
        {
          request: [{ send: `${address}R0!`, expect: `^${address}[+-]` }],
          messages: [{ pattern: `^${address}(?<level>[+-][\\d.]+)`, fields: [{ name: 'level' }] }],
        },
        100,
        5000,
      ),
      name: `probe-${address}`,
    });
    const { samples, stop } = startBus(pty, [probe(1), probe(2)]);
    try {
      const levels = (name: string): unknown[] =>
        samples.filter(({ device }) => device === name).map(({ values }) => values['level']);
      await until(
        () => levels('probe-1').length >= 3 && levels('probe-2').length >= 3,
        'three readings of each',
      );
      assert.deepEqual(new Set(levels('probe-1')), new Set([1.5]));
      assert.deepEqual(new Set(levels('probe-2')), new Set([2.5]));
      assert.deepEqual(new Set(asked), new Set(['1R0!', '2R0!']));
    } finally {
      await stop();
      await closed(end);
      await pty.close();
    }
  });
});
