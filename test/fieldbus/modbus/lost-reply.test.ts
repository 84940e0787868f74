import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../src/base/logger.ts';
import { startFieldbus } from '../../../src/fieldbus/fieldbus.ts';
import type { ModbusPointOptions } from '../../../src/fieldbus/options.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { modbusDevice, registerPoint, rtuBus } from '../../support/modbus-options.ts';
import { randomFrom } from '../../support/random.ts';
import { type LineDevice, rtuUnit, SimulatedLine } from '../../support/serial-line.ts';

const responseTimeoutMs = 1000;

/** A unique content for each register, so that a misassigned value shows. */
const content = (address: number): number => 1000 + 7 * address;

/** A device that reads floats whole only: an odd count, or an odd address, is exception 2. */
function floatsOnly(pdu: Uint8Array): Uint8Array {
  const [address, quantity] = [(pdu[1]! << 8) | pdu[2]!, pdu[4]!];
  if (quantity % 2 === 1 || address % 2 === 1) return Uint8Array.of(pdu[0]! | 0x80, 2);
  const words = Array.from({ length: quantity }, (_, index) => content(address + index));
  return Uint8Array.of(pdu[0]!, quantity * 2, ...words.flatMap((word) => [word >> 8, word & 0xff]));
}

function poll(device: (clock: FakeClock) => LineDevice, points: ModbusPointOptions[], gapMax?: number) {
  const clock = new FakeClock();
  const bus = rtuBus('sim');
  const line = new SimulatedLine(bus, clock);
  line.attach(device(clock));
  const samples: Sample[] = [];
  const limits = {
    registersMax: 125,
    bitsMax: 2000,
    requestGapMs: 0,
    ...(gapMax !== undefined && { gapMax }),
  };
  const fieldbus = startFieldbus(
    {
      buses: [bus],
      devices: [modbusDevice('m', { bus: 'rs485', unitId: 1, points, limits, responseTimeoutMs })],
    },
    {
      clock,
      logger: silentLogger,
      openChannel: () => line.openChannel(),
      deliver: (_silo, all) => samples.push(...all),
    },
  );
  return { clock, samples, fieldbus };
}

const pair = (address: number): ModbusPointOptions =>
  registerPoint(`p${address}`, { table: 'holding', address, type: 'uint32' });

function assertTrue(samples: readonly Sample[]): number {
  let values = 0;
  for (const sample of samples) {
    for (const [name, value] of Object.entries(sample.values)) {
      const address = Number(name.slice(1));
      assert.equal(value, content(address) * 0x10000 + content(address + 1));
      values += 1;
    }
  }
  return values;
}

describe('a device that refuses odd counts', () => {
  for (const shapes of [1, 3]) {
    it(`and loses 5 % of its replies, ${shapes} request${shapes === 1 ? '' : 's'} a second: a lost one costs itself`, async () => {
      const random = randomFrom(5);
      const unit = rtuUnit(1, floatsOnly, () => 20);
      const { clock, samples, fieldbus } = poll(
        () => (frame) => {
          const answer = unit(frame);
          return random() < 0.05 ? null : answer;
        },
        Array.from({ length: shapes }, (_, index) => pair(index * 100)),
        0,
      );
      await clock.advanceAsync(600_000);
      const good = samples.filter(({ values }) => 'p0' in values).map(({ monotonicMs }) => monotonicMs);
      const holes = good.slice(1).map((time, index) => time - good[index]!);
      // Two lost in a row make it dead, which is asked again after a second, then two.
      assert.ok(Math.max(...holes) <= 8000, `a hole of ${Math.max(...holes)} ms`);
      assert.ok(holes.filter((hole) => hole > 3500).length <= 6, holes.filter((hole) => hole > 3500).join());
      assert.ok(good.length >= 600 * 0.85, `${good.length} of 600`);
      assertTrue(samples);
      await fieldbus.stop();
    });
  }

  it('and is up to six timeouts late, with exceptions as well: no wrong value in an hour', async (t) => {
    const random = randomFrom(11);
    const { clock, samples, fieldbus } = poll(
      (clock) => {
        let busyUntilMs = 0;
        const unit = rtuUnit(1, floatsOnly, () => 0);
        return (frame) => {
          const good = unit(frame);
          if (good === null || random() < 0.05) return null;
          const delayMs = random() < 0.2 ? random() * 6 * responseTimeoutMs : 10;
          busyUntilMs = Math.max(clock.monotonicMs(), busyUntilMs) + delayMs;
          return { bytes: good.bytes, afterMs: busyUntilMs - clock.monotonicMs() + 2 };
        };
      },
      // The odd one is always refused.
      [pair(0), pair(100), pair(200), pair(301)],
      0,
    );
    await clock.advanceAsync(3_600_000);
    const values = assertTrue(samples);
    t.diagnostic(`${values} values`);
    assert.ok(values > 1000, `${values} values`);
    await fieldbus.stop();
  });
});

describe('a device that refuses everything after a lost reply', () => {
  it('is read within 15 s of its return', async () => {
    const away = { value: false };
    let lost = 0;
    const unit = rtuUnit(
      1,
      (pdu) => (away.value ? Uint8Array.of(pdu[0]! | 0x80, 2) : floatsOnly(pdu)),
      () => 20,
    );
    const { clock, samples, fieldbus } = poll(
      () => (frame) => {
        const answer = unit(frame);
        if (away.value && lost < 1) {
          lost += 1;
          return null;
        }
        return answer;
      },
      [pair(0)],
    );
    await clock.advanceAsync(5000);
    away.value = true;
    await clock.advanceAsync(30_000);
    away.value = false;
    const backAtMs = clock.monotonicMs();
    await clock.advanceAsync(15_000);
    assert.ok(samples.some(({ monotonicMs, values }) => monotonicMs > backAtMs && 'p0' in values));
    await fieldbus.stop();
  });
});
