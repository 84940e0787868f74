import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLogger, type LogRecord, silentLogger } from '../../../../src/base/logger.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { startFieldbus } from '../../../../src/fieldbus/fieldbus.ts';
import type { IdentityCheck, ModbusDeviceOptions } from '../../../../src/fieldbus/options.ts';
import { expandProfile } from '../../../../src/config/profile/expansion.ts';
import { loadProfile } from '../../../../src/config/profile/profile.ts';
import type { Sample } from '../../../../src/reading/sample.ts';
import { startModbusTcpDevice } from '../../../../src/simulator/modbus-tcp-device.ts';
import { type ModbusUnit, RegisterImage } from '../../../../src/simulator/register-image.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { GoldenImage } from '../../../support/golden-image.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../../../support/modbus-options.ts';
import { rtuUnit, SimulatedLine } from '../../../support/serial-line.ts';
import { until } from '../../../support/until.ts';
import { builtInProfiles } from '../../../config/profile/built-in.ts';

const codeCheck: IdentityCheck = {
  by: 'registers',
  table: 'input',
  address: 11,
  type: 'uint16',
  byteOrder: 'big',
  wordOrder: 'big',
  expects: { oneOf: [1648, 1649] },
};

/** A meter of two values at input 0 and 1, its code at input 11. */
class Meter {
  code = 1648;
  /** The answer to the question if not the code: an exception, or null for silence. */
  refusal: number | null | undefined = undefined;
  isThere = true;
  asked = 0;

  answer(request: Uint8Array): Buffer | null {
    if (!this.isThere) return null;
    const pdu = Buffer.from(request);
    const [functionCode, address, quantity] = [pdu[0]!, pdu.readUInt16BE(1), pdu.readUInt16BE(3)];
    assert.ok(functionCode <= 4 || functionCode === 43, 'it is never written to');
    if (functionCode === 43) return Buffer.of(0xab, 1);
    if (address === 11) {
      assert.equal(quantity, 1, 'the code is read alone');
      this.asked += 1;
      if (this.refusal === null) return null;
      if (this.refusal !== undefined) return Buffer.of(0x84, this.refusal);
    }
    const registers = Buffer.alloc(2 * quantity);
    for (let index = 0; index < quantity; index += 1)
      registers.writeUInt16BE(address + index === 11 ? this.code : 230 + address + index, 2 * index);
    return Buffer.concat([Buffer.of(functionCode, registers.length), registers]);
  }
}

const points = [0, 1].map((address) =>
  registerPoint(`u${address}`, { table: 'input', address, type: 'uint16', max: 300 }),
);

function simulate(changes: Partial<ModbusDeviceOptions> = {}) {
  const clock = new FakeClock();
  const bus = rtuBus('', { baudRate: 115_200 });
  const line = new SimulatedLine(bus, clock);
  const meter = new Meter();
  line.attach(
    rtuUnit(
      1,
      (pdu) => meter.answer(pdu),
      () => 5,
    ),
  );
  const samples: (Sample & { atMs: number })[] = [];
  const logged: LogRecord[] = [];
  const device = modbusDevice('m', {
    bus: 'rs485',
    unitId: 1,
    points,
    profile: 'meter',
    identify: [codeCheck],
    ...changes,
  });
  const fieldbus = startFieldbus(
    { buses: [bus], devices: [device] },
    {
      clock,
      logger: createLogger((record) => logged.push(record), 'info'),
      openChannel: () => line.openChannel(),
      deliver: (_silo, all) => samples.push(...all.map((each) => ({ ...each, atMs: clock.monotonicMs() }))),
    },
  );
  return {
    clock,
    meter,
    samples,
    fieldbus,
    status: () => fieldbus.status()[0]!.devices[0]!,
    /** Log lines about its identity. */
    logged: () =>
      logged.filter(({ event }) => /another/.test(event)).map(({ level, event }) => `${level} ${event}`),
  };
}

/** By sample: its values, and whether each is good. */
function told(samples: readonly Sample[]): string[] {
  return samples.map(({ values, quality }) =>
    points
      .map(({ name }) => `${values[name] ?? '-'}${quality?.[name] ? ` ${quality[name]}` : ''}`)
      .join(', '),
  );
}

const good = '230, 231';
const doubted = '230 implausible, 231 implausible';

describe('a device that is what its profile is for', () => {
  it('is confirmed by one question, without a log line', async () => {
    const { clock, meter, samples, fieldbus, status, logged } = simulate();
    await clock.advanceAsync(5500);
    assert.deepEqual(new Set(told(samples)), new Set([good]));
    assert.deepEqual(status().identity, { state: 'confirmed', reason: null });
    assert.equal(status().state, 'good');
    assert.equal(meter.asked, 1);
    assert.equal(status().requests, samples.length + 1);
    assert.deepEqual(logged(), []);
    await fieldbus.stop();
  });

  it('gives its first sample with the time of its values, a question later', async () => {
    const { clock, samples, fieldbus } = simulate();
    await clock.advanceAsync(500);
    const [first] = samples;
    assert.ok(first !== undefined);
    assert.ok(first.atMs - first.monotonicMs > 4, 'the answer to the question was waited for');
    assert.ok(first.atMs - first.monotonicMs < 100, 'and not for longer');
    await clock.advanceAsync(2000);
    assert.deepEqual(
      samples.slice(1).map(({ monotonicMs, atMs }) => monotonicMs - atMs),
      [0, 0],
      'no other waits',
    );
    await fieldbus.stop();
  });

  it('is asked again a quarter of an hour later, because it may be exchanged between two polls', async () => {
    const { clock, meter, samples, fieldbus, status } = simulate({
      everyMs: 60_000,
      points: points.map((point) => ({ ...point, everyMs: 60_000 })),
    });
    await clock.advanceAsync(120_500);
    meter.code = 71;
    await clock.advanceAsync(900_000);
    assert.equal(status().identity.state, 'contradicted');
    assert.equal(told(samples).at(-1), doubted);
    await fieldbus.stop();
  });
});

describe('a device that contradicts its profile', () => {
  it('has no good value, from the first poll on', async () => {
    const { clock, meter, samples, fieldbus, status, logged } = simulate();
    meter.code = 71;
    await clock.advanceAsync(5500);
    assert.ok(samples.length >= 5);
    assert.deepEqual(new Set(told(samples)), new Set([doubted]));
    const { state, reason, identity, failures, points: recorded } = status();
    assert.deepEqual(identity, { state: 'contradicted', reason: 'input 11 is 71, not 1648, 1649' });
    assert.equal(state, 'partial');
    assert.match(
      reason ?? '',
      /not what meter is for: input 11 is 71.*unitId, wiring and profile.*identify: off/,
    );
    assert.equal(failures['implausible'], 2 * samples.length);
    assert.deepEqual(recorded.byQuality, { implausible: 2 });
    assert.deepEqual(logged(), ['warn device is another than its profile is for']);
    await fieldbus.stop();
  });

  it('keeps a point’s own quality', async () => {
    const { clock, meter, samples, fieldbus, status } = simulate({
      points: [...points, registerPoint('broken', { table: 'holding', address: 0, type: 'bcd16' })],
    });
    meter.code = 71;
    await clock.advanceAsync(500);
    assert.deepEqual(samples[0]?.quality, { u0: 'implausible', u1: 'implausible', broken: 'invalid' });
    assert.equal(status().failures['implausible'], 2);
    await fieldbus.stop();
  });

  it('gives good values again once it fits its profile', async () => {
    const { clock, meter, samples, fieldbus, status, logged } = simulate();
    meter.code = 71;
    await clock.advanceAsync(3000);
    meter.code = 1649;
    await clock.advanceAsync(15_000);
    assert.equal(told(samples).at(-1), good);
    assert.deepEqual(status().identity, { state: 'confirmed', reason: null });
    assert.equal(status().state, 'good');
    assert.deepEqual(logged(), [
      'warn device is another than its profile is for',
      'info device no longer says that it is another',
    ]);
    await fieldbus.stop();
  });

  it('is asked in pauses of up to a minute, and reported once', async () => {
    const { clock, meter, fieldbus, logged } = simulate();
    meter.code = 71;
    await clock.advanceAsync(600_000);
    assert.ok(meter.asked >= 10 && meter.asked <= 15, `${meter.asked} questions in ten minutes`);
    assert.equal(logged().length, 1);
    await fieldbus.stop();
  });

  it('stays another while it does not answer the question', async () => {
    const { clock, meter, samples, fieldbus, status } = simulate();
    meter.code = 71;
    await clock.advanceAsync(2500);
    meter.refusal = null;
    await clock.advanceAsync(60_000);
    assert.equal(status().identity.state, 'contradicted');
    assert.deepEqual(new Set(told(samples)), new Set([doubted]));
    await fieldbus.stop();
  });

  it('gives good values if the check is disabled', async () => {
    const { clock, meter, samples, fieldbus } = simulate({ identify: [] });
    meter.code = 71;
    await clock.advanceAsync(3000);
    assert.deepEqual(new Set(told(samples)), new Set([good]));
    assert.equal(meter.asked, 0);
    await fieldbus.stop();
  });
});

describe('a device that does not identify itself', () => {
  for (const code of [1, 2, 3]) {
    it(`by exception ${code} is asked once, and gives good values`, async () => {
      const { clock, meter, samples, fieldbus, status, logged } = simulate();
      meter.refusal = code;
      await clock.advanceAsync(60_000);
      assert.equal(meter.asked, 1);
      assert.deepEqual(new Set(told(samples)), new Set([good]));
      assert.deepEqual(status().identity, { state: 'unchecked', reason: null });
      assert.equal(status().state, 'good');
      assert.deepEqual(logged(), []);
      await fieldbus.stop();
    });
  }

  it('because it is busy is asked again a minute later', async () => {
    const { clock, meter, fieldbus, status } = simulate();
    meter.refusal = 6;
    await clock.advanceAsync(30_000);
    assert.equal(meter.asked, 1);
    meter.refusal = undefined;
    await clock.advanceAsync(40_000);
    assert.equal(status().identity.state, 'confirmed');
    await fieldbus.stop();
  });

  it('by silence gives good values, and costs one timeout now and then', async () => {
    const { clock, meter, samples, fieldbus, status } = simulate();
    meter.refusal = null;
    await clock.advanceAsync(600_000);
    assert.deepEqual(new Set(told(samples)), new Set([good]));
    assert.equal(status().identity.state, 'unchecked');
    assert.ok(meter.asked <= 5, `${meter.asked} questions in ten minutes`);
    assert.ok(samples.length > 580, `${samples.length} samples in ten minutes`);
    await fieldbus.stop();
  });

  it('because the question exceeds its limits is not asked, and gives good values', async () => {
    const limits = { registersMax: 2, bitsMax: 16, requestGapMs: 0 };
    const wide: IdentityCheck = {
      ...codeCheck,
      address: 20,
      type: 'string',
      length: 3,
      expects: { oneOf: ['x'] },
    };
    const { clock, samples, fieldbus, status } = simulate({ limits, identify: [wide] });
    await clock.advanceAsync(2000);
    assert.deepEqual(new Set(told(samples)), new Set([good]));
    assert.equal(status().identity.state, 'unchecked');
    await fieldbus.stop();
  });

  it('by an empty answer gives good values', async () => {
    const expects = { oneOf: ['EM24'] };
    const check: IdentityCheck = { ...codeCheck, type: 'string', length: 1, expects };
    const { clock, meter, fieldbus, status } = simulate({ identify: [check] });
    meter.code = 0;
    await clock.advanceAsync(2000);
    assert.equal(status().identity.state, 'unchecked');
    await fieldbus.stop();
  });
});

describe('a device that comes back', () => {
  it('is asked before its values count as good again', async () => {
    const { clock, meter, samples, fieldbus, status } = simulate();
    await clock.advanceAsync(3500);
    meter.isThere = false;
    await clock.advanceAsync(20_000);
    meter.isThere = true;
    meter.code = 71;
    const before = samples.length;
    await clock.advanceAsync(20_000);
    const withValues = told(samples.slice(before)).filter((each) => each.startsWith('230'));
    assert.ok(withValues.length > 0);
    assert.deepEqual(new Set(withValues), new Set([doubted]));
    assert.equal(status().identity.state, 'contradicted');
    await fieldbus.stop();
  });

  it('is not asked while it is dead, nor before its first answer', async () => {
    const { clock, meter, fieldbus } = simulate();
    meter.isThere = false;
    await clock.advanceAsync(60_000);
    assert.equal(meter.asked, 0);
    meter.isThere = true;
    await clock.advanceAsync(20_000);
    assert.equal(meter.asked, 1);
    await fieldbus.stop();
  });
});

/** A device of a built-in profile on a real socket. */
async function onSocket(profile: string, unit: ModbusUnit, changes: Partial<ModbusDeviceOptions> = {}) {
  const expansion = expandProfile(loadProfile(profile, [builtInProfiles]), { everyMs: 100 });
  assert.ok(expansion.kind === 'modbus');
  const units = new Map([[1, unit]]);
  let server = await startModbusTcpDevice(units);
  const { port } = server;
  const samples: Sample[] = [];
  const device = { ...modbusDevice('d', { bus: 'plant', unitId: 1, points: [] }), ...expansion, ...changes };
  const fieldbus = startFieldbus(
    { buses: [tcpBus(port)], devices: [device] },
    { clock: systemClock, logger: silentLogger, deliver: (_silo, all) => samples.push(...all) },
  );
  return {
    samples,
    status: () => fieldbus.status()[0]!.devices[0]!,
    /** Another device at the same address. */
    exchange: async (other: ModbusUnit) => {
      await server.close();
      units.set(1, other);
      server = await startModbusTcpDevice(units, port);
    },
    stop: async () => {
      await fieldbus.stop();
      await server.close();
    },
  };
}

describe('a device behind a real socket', () => {
  it('that was exchanged while the connection was lost gives no good value', async () => {
    const other = new RegisterImage();
    other.define('input', 0, 100);
    other.setInt16('input', 0, 1111);
    other.setInt16('input', 11, 71);
    const rig = await onSocket(
      'carlo-gavazzi-em24-ethernet',
      new GoldenImage('carlo-gavazzi-em24-ethernet', true),
    );
    try {
      await until(() => rig.samples.length >= 3, 'samples of the first');
      assert.equal(rig.status().identity.state, 'confirmed');
      assert.ok(rig.samples.every(({ quality }) => quality === undefined));
      await rig.exchange(other);
      const ofOther = (): Sample[] => rig.samples.filter(({ values }) => values['voltage_l1'] === 111.1);
      await until(() => ofOther().length >= 3, 'samples of the other');
      for (const { values, quality } of ofOther())
        for (const name of Object.keys(values)) assert.equal(quality?.[name], 'implausible', name);
      assert.match(rig.status().identity.reason ?? '', /^input 11 is 71, not 1648/);
    } finally {
      await rig.stop();
    }
  });

  it('by SunSpec is walked again after the connection was gone', async () => {
    const rig = await onSocket('sunspec-inverter', new GoldenImage('sunspec-inverter', true));
    try {
      await until(
        () => rig.samples.some(({ values }) => values['power'] !== undefined),
        'samples of the first',
      );
      assert.deepEqual(rig.status().identity, { state: 'confirmed', reason: null });
      const before = rig.samples.length;
      await rig.exchange(new GoldenImage('sunspec-meter', true));
      await until(() => rig.status().identity.state === 'contradicted', 'the other is known');
      assert.match(rig.status().identity.reason ?? '', /SunSpec models 1, 20\d.*none of this profile/);
      assert.equal(rig.status().state, 'failing');
      for (const { values } of rig.samples.slice(before)) assert.deepEqual(values, {});
    } finally {
      await rig.stop();
    }
  });

  it('by SunSpec, with the check disabled, gives its values', async () => {
    const rig = await onSocket('sunspec-inverter', new GoldenImage('sunspec-meter', true), {
      identify: 'off',
    });
    try {
      await until(() => rig.samples.length > 0, 'a sample');
      assert.equal(rig.status().identity.state, 'off');
      assert.deepEqual(Object.keys(rig.samples[0]!.values), [
        'manufacturer',
        'device_model',
        'serial_number',
      ]);
    } finally {
      await rig.stop();
    }
  });

  it('is checked by its vendor in Read Device Identification, and refused if that differs', async () => {
    for (const [vendor, state] of [
      ['Schneider Electric', 'confirmed'],
      ['ACME', 'contradicted'],
    ] as const) {
      const meter = new GoldenImage('schneider-iem3000', false);
      const named: ModbusUnit = {
        answer: (pdu) => {
          if (pdu[0] !== 43) return meter.answer(pdu);
          const name = Buffer.from(vendor);
          return Buffer.concat([Buffer.of(43, 14, 1, 1, 0, 0, 1, 0, name.length), name]);
        },
      };
      const rig = await onSocket('schneider-iem3000', named);
      try {
        await until(() => rig.samples.length > 0, 'a sample');
        assert.equal(rig.status().identity.state, state);
        const doubted = Object.values(rig.samples[0]?.quality ?? {}).filter((each) => each === 'implausible');
        const values = Object.keys(rig.samples[0]?.values ?? {});
        assert.equal(doubted.length, state === 'confirmed' ? 0 : values.length);
      } finally {
        await rig.stop();
      }
    }
  });

  it('with a pause between requests gets it before questions, too', async () => {
    const asked: number[] = [];
    const meter = new GoldenImage('carlo-gavazzi-em24-ethernet', true);
    const slow: ModbusUnit = {
      answer: (pdu) => {
        asked.push(performance.now());
        return meter.answer(pdu);
      },
    };
    const limits = { registersMax: 50, bitsMax: 2000, requestGapMs: 150 };
    const rig = await onSocket('carlo-gavazzi-em24-ethernet', slow, { limits });
    try {
      await until(() => asked.length >= 5, 'requests');
      for (let index = 1; index < asked.length; index += 1)
        assert.ok(asked[index]! - asked[index - 1]! >= 149, `request ${index}`);
    } finally {
      await rig.stop();
    }
  });
});
