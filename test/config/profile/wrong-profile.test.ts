import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { socketTiming } from '../../../src/fieldbus/modbus/line-timing.ts';
import { encodeRequest, parseAnswer } from '../../../src/fieldbus/modbus/pdu.ts';
import type { ModbusDeviceOptions } from '../../../src/fieldbus/options.ts';
import { expandProfile } from '../../../src/config/profile/expansion.ts';
import { loadProfile, profileNames } from '../../../src/config/profile/profile.ts';
import type { BusDevice } from '../../../src/fieldbus/modbus/polling/bus-device.ts';
import { IdentifiedDevice } from '../../../src/fieldbus/modbus/polling/identified-device.ts';
import { PolledDevice } from '../../../src/fieldbus/modbus/polling/polled-device.ts';
import { SunSpecDevice } from '../../../src/fieldbus/modbus/polling/sunspec-device.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import type { DeviceStatus } from '../../../src/status/status.ts';
import type { ModbusUnit } from '../../../src/simulator/register-image.ts';
import { type Elsewhere, GoldenImage } from '../../support/golden-image.ts';
import { modbusDevice } from '../../support/modbus-options.ts';
import { randomFrom } from '../../support/random.ts';
import { builtInProfiles } from './built-in.ts';

const profiles = profileNames([builtInProfiles])
  .map((name) => loadProfile(name, [builtInProfiles]))
  .filter(({ shape }) => shape.interface !== 'serial');
const isTcp = (name: string): boolean =>
  profiles.find((profile) => profile.name === name)!.shape.interface !== 'modbus-rtu';

function deviceOf(name: string, identify: 'on' | 'off'): BusDevice {
  const profile = profiles.find((each) => each.name === name)!;
  const expansion = expandProfile(profile, { everyMs: 1000, identify });
  assert.ok(expansion.kind === 'modbus');
  const options: ModbusDeviceOptions = {
    ...modbusDevice('d', { bus: 'b', unitId: 1, points: [] }),
    ...expansion,
  };
  const ignore = (): void => {};
  const { discover, identify: checks } = options;
  if (discover !== undefined) return new SunSpecDevice({ ...options, discover }, socketTiming, 1, 0, ignore);
  const device = new PolledDevice(options, socketTiming, 1, 0);
  return checks === undefined || checks === 'off' ? device : new IdentifiedDevice(device, checks, 0, ignore);
}

/** The first sample of a device with this profile, if the unit answers. */
function firstSample(
  profile: string,
  unit: ModbusUnit,
  identify: 'on' | 'off' = 'on',
): { sample: Sample; status: DeviceStatus } {
  const device = deviceOf(profile, identify);
  let now = 0;
  for (let asked = 0; asked < 2000; asked += 1) {
    now = Math.max(now, device.candidate(100)!.readyAtMs);
    const step = device.next(100, now, now);
    if (step.kind === 'tell') return { sample: step.sample, status: device.status(now) };
    now += 5;
    const { request } = step.transaction;
    const answer = parseAnswer(request, unit.answer(encodeRequest(request)));
    const outcome = answer.kind === 'fault' ? answer : { ...answer, answerMs: 5 };
    const sample = device.take(step.request, outcome, 5, now, now);
    if (sample !== null) return { sample, status: device.status(now) };
  }
  return assert.fail('the poll has no end');
}

function believed({ values, quality }: Sample): string[] {
  return Object.keys(values).filter((name) => quality?.[name] === undefined);
}

/** Meters whose maps are a part of each other's, register by register: neither is wrong for the other. */
const kin = new Set(['eastron-sdm120', 'eastron-sdm230', 'eastron-sdm630']);
const isKin = (a: string, b: string): boolean => a === b || (kin.has(a) && kin.has(b));

describe('a device under its own profile', () => {
  for (const { name } of profiles) {
    it(`${name} is confirmed, and nothing of it is implausible`, () => {
      const { sample, status } = firstSample(name, new GoldenImage(name, isTcp(name)));
      assert.equal(status.identity.state, 'confirmed');
      assert.ok(believed(sample).length > 0);
      assert.ok(!Object.values(sample.quality ?? {}).includes('implausible'));
    });
  }
});

describe('a device under the profile of another', () => {
  const elsewheres: Elsewhere[] = ['exception', 'zero', 'random'];
  for (const { name } of profiles) {
    it(`${name} gives no value that passes for good, but for zeros of a device that is all zeros there`, () => {
      for (const other of profiles.map((each) => each.name).filter((each) => !isKin(name, each))) {
        for (const elsewhere of elsewheres) {
          const image = new GoldenImage(other, isTcp(other), elsewhere, randomFrom(other.length));
          const { sample } = firstSample(name, image);
          const wrong = believed(sample).filter(
            (point) => ![0, false, ''].includes(sample.values[point]! as number),
          );
          assert.deepEqual(wrong, [], `${name} on ${other}, elsewhere ${elsewhere}`);
        }
      }
    });
  }

  it('is told from what it measures, where a float is read as an integer', () => {
    for (const name of ['carlo-gavazzi-em24', 'carlo-gavazzi-em24-ethernet', 'carlo-gavazzi-em340']) {
      const meter = new GoldenImage('eastron-sdm630', false);
      const { sample } = firstSample(name, meter, 'off');
      assert.ok(Number(sample.values['voltage_l1']) > 1e8, 'the range alone tells');
      assert.equal(sample.quality?.['voltage_l1'], 'implausible');
    }
  });
});

describe('a device of random registers', () => {
  const runs = 100;
  for (const { name, shape } of profiles) {
    it(`${name} hardly ever gives a value that passes for good`, () => {
      let values = 0;
      let wrong = 0;
      for (let run = 0; run < runs; run += 1) {
        const random = randomFrom(run + 1);
        const noise: ModbusUnit = {
          answer: (pdu) => {
            const quantity = (pdu[3]! << 8) | pdu[4]!;
            if (pdu[0] === 43) return Buffer.of(0xab, 1);
            const registers = Buffer.from(
              Array.from({ length: 2 * quantity }, () => Math.floor(random() * 256)),
            );
            return Buffer.concat([Buffer.of(pdu[0]!, registers.length), registers]);
          },
        };
        const { sample } = firstSample(name, noise);
        values += Object.keys(sample.values).length;
        wrong += believed(sample).length;
      }
      if (shape.sunspec !== undefined) assert.equal(values, 0, 'there is no marker');
      else assert.ok(wrong / values < 0.05, `${wrong} of ${values}`);
    });
  }
});
