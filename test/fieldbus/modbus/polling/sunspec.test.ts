import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../../src/base/logger.ts';
import { describeDevice } from '../../../../src/fieldbus/device-description.ts';
import { startFieldbus } from '../../../../src/fieldbus/fieldbus.ts';
import type { ModbusDeviceOptions } from '../../../../src/fieldbus/options.ts';
import { loadOf } from '../../../../src/fieldbus/modbus/planning/bus-load.ts';
import { expandProfile } from '../../../../src/config/profile/expansion.ts';
import { loadProfile } from '../../../../src/config/profile/profile.ts';
import {
  resolveSunSpec,
  startSunSpecWalk,
  stepSunSpecWalk,
} from '../../../../src/fieldbus/modbus/polling/sunspec-walk.ts';
import type { Sample } from '../../../../src/reading/sample.ts';
import { RegisterImage } from '../../../../src/simulator/register-image.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { modbusDevice, rtuBus } from '../../../support/modbus-options.ts';
import { rtuUnit, SimulatedLine } from '../../../support/serial-line.ts';
import { readTranscript } from '../../../support/transcript.ts';
import { builtInProfiles } from '../../../config/profile/built-in.ts';

type Reading = Pick<Sample, 'values' | 'quality'>;
const [golden] = readTranscript('sunspec-inverter.txt').expected as [Required<Reading>];

function inverter(): ModbusDeviceOptions {
  const expansion = expandProfile(loadProfile('sunspec-inverter', [builtInProfiles]), { everyMs: 1000 });
  assert.ok(expansion.kind === 'modbus');
  return { ...modbusDevice('roof', { bus: 'rs485', unitId: 1, points: [] }), ...expansion };
}

/** The registers of the golden inverter, from `base` on instead of 40000. */
function imageAt(base: number): RegisterImage {
  const image = new RegisterImage();
  image.define('holding', base, 200);
  const { steps } = readTranscript('sunspec-inverter.txt');
  let [address, answer] = [0, Buffer.alloc(0)];
  for (const { kind, bytes } of steps) {
    if (kind === 'expect') [address, answer] = [bytes.readUInt16BE(8) - 40_000 + base, Buffer.alloc(0)];
    else answer = Buffer.concat([answer, bytes]);
    if (kind === 'send' && answer.length === 6 + answer.readUInt16BE(4)) {
      image.setRegisters('holding', address, answer.subarray(9));
    }
  }
  return image;
}

/** One inverter on a line, whose registers the test may change. */
function simulate(registers: RegisterImage | null) {
  const clock = new FakeClock();
  const bus = rtuBus('', { baudRate: 115_200 });
  const line = new SimulatedLine(bus, clock);
  const device = { registers };
  const empty = new RegisterImage();
  line.attach((frame) =>
    rtuUnit(
      1,
      (pdu) => (device.registers ?? empty).answer(pdu),
      () => (device.registers === null ? null : 10),
    )(frame),
  );
  const samples: Sample[] = [];
  const fieldbus = startFieldbus(
    { buses: [bus], devices: [inverter()] },
    {
      clock,
      logger: silentLogger,
      openChannel: () => line.openChannel(),
      deliver: (_silo, all) => samples.push(...all),
    },
  );
  return { clock, device, samples, fieldbus, status: () => fieldbus.status()[0]!.devices[0]! };
}

describe('a SunSpec device', () => {
  for (const base of [40_000, 50_000, 0]) {
    it(`is found at ${base} and polled`, async () => {
      const { clock, samples, fieldbus, status } = simulate(imageAt(base));
      await clock.advanceAsync(4500);
      assert.deepEqual(samples[0]?.values, golden.values);
      assert.deepEqual(samples[0]?.quality, golden.quality);
      assert.equal(status().state, 'partial');
      assert.equal(samples.length, status().samples);
      assert.ok(samples.length >= 4, 'and on it goes');
      await fieldbus.stop();
    });
  }

  it('is reported without SunSpec, and walked again later', async () => {
    const { clock, device, samples, fieldbus, status } = simulate(new RegisterImage());
    await clock.advanceAsync(2000);
    assert.equal(samples.length, 1);
    assert.equal(samples[0]?.quality?.['power'], 'invalid');
    assert.equal(samples[0]?.quality?.['power_sf'], undefined, 'a scale factor is not given out');
    assert.match(status().reason ?? '', /no SunSpec marker/);
    device.registers = imageAt(40_000);
    await clock.advanceAsync(65_000);
    assert.deepEqual(samples[1]?.values, golden.values);
    assert.notEqual(status().state, 'failing');
    await fieldbus.stop();
  });

  it('is offline while it is silent, and walked again when it is back with another map', async () => {
    const { clock, device, samples, fieldbus } = simulate(imageAt(40_000));
    await clock.advanceAsync(2500);
    device.registers = null;
    await clock.advanceAsync(30_000);
    assert.equal(samples.at(-1)?.quality?.['power'], 'offline');
    const before = samples.length;
    device.registers = imageAt(0);
    await clock.advanceAsync(20_000);
    const values = samples
      .slice(before)
      .flatMap((sample) => ('power' in sample.values ? [sample.values['power']] : []));
    assert.ok(values.length > 0);
    assert.deepEqual(new Set(values), new Set([2843.1]));
    await fieldbus.stop();
  });

  it('is described and counted by what it may have', () => {
    const device = inverter();
    const described = describeDevice(device).points;
    assert.ok(described.some(({ name, unit }) => name === 'power' && unit === 'W'));
    assert.equal(described.filter(({ name }) => name === 'power').length, 1);
    assert.ok(!described.some(({ name }) => name.endsWith('_sf')));
    assert.ok(loadOf(rtuBus(''), device) > 0.05);
  });
});

describe('the walk through a SunSpec map', () => {
  const words = (...values: number[]): Uint8Array =>
    Uint8Array.from(values.flatMap((word) => [word >> 8, word & 0xff]));
  const marker = words(0x5375, 0x6e53);

  it('tries each base, then goes from model to model', () => {
    let walk = startSunSpecWalk([40_000, 0]);
    const asked: number[] = [];
    for (const answer of [null, marker, words(1, 66), words(103, 50), words(0xffff, 0)]) {
      assert.ok(walk.kind === 'read');
      asked.push(walk.address);
      walk = stepSunSpecWalk(walk, answer);
    }
    assert.deepEqual(asked, [40_000, 0, 2, 70, 122]);
    assert.ok(walk.kind === 'found');
    assert.deepEqual(walk.models, [
      { id: 1, address: 2, length: 66 },
      { id: 103, address: 70, length: 50 },
    ]);
  });

  for (const [what, answers, reason] of [
    ['no marker', [words(1, 2), null], /no SunSpec marker/],
    ['a chain that breaks off', [marker, words(1, 66), null], /breaks off/],
    ['a chain that leaves the map', [marker, words(1, 65_000)], /has no end/],
    ['a chain without an end', [marker, ...Array.from({ length: 70 }, () => words(1, 0))], /has no end/],
  ] as const) {
    it(`gives up on ${what}`, () => {
      let walk = startSunSpecWalk([40_000]);
      for (const answer of answers) walk = stepSunSpecWalk(walk, answer);
      assert.ok(walk.kind === 'failed');
      assert.match(walk.reason, reason);
    });
  }

  it('takes a point from the first model that has it, and omits points that no model has', () => {
    const point = {
      table: 'holding',
      type: 'int16',
      byteOrder: 'big',
      wordOrder: 'big',
      everyMs: 1000,
    } as const;
    const resolved = resolveSunSpec(
      [
        { ...point, name: 'power', models: [103], register: 14 },
        { ...point, name: 'power', models: [113], register: 22 },
        { ...point, name: 'beyond', models: [103], register: 60 },
        { ...point, name: 'absent', models: [201], register: 2 },
      ],
      [
        { id: 113, address: 100, length: 60 },
        { id: 103, address: 200, length: 50 },
      ],
    );
    assert.deepEqual(
      resolved.map(({ name, address }) => [name, address]),
      [['power', 214]],
    );
  });
});
