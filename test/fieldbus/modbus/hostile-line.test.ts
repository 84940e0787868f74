import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../src/base/logger.ts';
import { startFieldbus } from '../../../src/fieldbus/fieldbus.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { modbusDevice, registerPoint, rtuBus } from '../../support/modbus-options.ts';
import { mutate, rtuFrame } from '../../support/modbus-frames.ts';
import { randomFrom } from '../../support/random.ts';
import { type LineDevice, rtuUnit, SimulatedLine } from '../../support/serial-line.ts';

const responseTimeoutMs = 200;
const addresses = [0, 100, 200, 300];

/** Each register of each unit has a unique content: a misassigned value shows. */
function content(unitId: number, address: number): number {
  return unitId * 10_000 + address;
}

/**
 * A unit with every fault: sometimes slower than the timeout, its answers cut, damaged, wrapped in noise or under
 * another address. It answers one request after another, as every device with one receiver does.
 */
function hostileUnit(unitId: number, now: () => number, random: () => number): LineDevice {
  let busyUntilMs = 0;
  const answer = (pdu: Uint8Array): Uint8Array => {
    const address = (pdu[1]! << 8) | pdu[2]!;
    const quantity = pdu[4]!;
    const words = Array.from({ length: quantity }, (_, index) => content(unitId, address + index));
    return Uint8Array.of(3, quantity * 2, ...words.flatMap((word) => [word >> 8, word & 0xff]));
  };
  const unit = rtuUnit(unitId, answer, () => 0);
  return (frame) => {
    const good = unit(frame);
    if (good === null) return null;
    const slow = random() < 0.15;
    const delayMs = slow ? random() * 6 * responseTimeoutMs : 5 + random() * 20;
    const startMs = Math.max(now(), busyUntilMs);
    busyUntilMs = startMs + delayMs;
    const afterMs = busyUntilMs - now() + 2;
    const fate = random();
    if (fate < 0.05) return { bytes: mutate(good.bytes, random), afterMs };
    if (fate < 0.08) return { bytes: rtuFrame(unitId + 1, ...good.bytes.subarray(1, -2)), afterMs };
    if (fate < 0.11) return { bytes: Uint8Array.of(0xff, unitId, 3, ...good.bytes, 0x00), afterMs };
    if (fate < 0.13) return null;
    return { bytes: good.bytes, afterMs };
  };
}

describe('a line on which everything goes wrong', () => {
  it('for forty simulated minutes: not one wrong value', async (t) => {
    const clock = new FakeClock();
    const random = randomFrom(7);
    const bus = rtuBus('sim');
    const line = new SimulatedLine(bus, clock);
    const points = addresses.map((address) =>
      registerPoint(`p${address}`, { table: 'holding', address, type: 'uint32', everyMs: 500 }),
    );
    const limits = { registersMax: 125, bitsMax: 2000, gapMax: 0, requestGapMs: 0 };
    const devices = [1, 3].map((unitId) => {
      line.attach(hostileUnit(unitId, () => clock.monotonicMs(), random));
      return modbusDevice(`u${unitId}`, { bus: 'rs485', unitId, points, limits, responseTimeoutMs });
    });
    const samples: Sample[] = [];
    const fieldbus = startFieldbus(
      { buses: [bus], devices },
      {
        clock,
        logger: silentLogger,
        openChannel: () => line.openChannel(),
        deliver: (_silo, all) => samples.push(...all),
      },
    );
    await clock.advanceAsync(2_400_000);
    let values = 0;
    for (const sample of samples) {
      const unitId = Number(sample.device.slice(1));
      for (const [name, value] of Object.entries(sample.values)) {
        const address = Number(name.slice(1));
        assert.equal(value, content(unitId, address) * 0x10000 + content(unitId, address + 1));
        values += 1;
      }
      assert.equal(
        Object.keys(sample.values).length + Object.keys(sample.quality ?? {}).length,
        points.length,
      );
    }
    const failures = fieldbus.status()[0]!.devices.map(({ failures }) => failures);
    t.diagnostic(`${values} values; failures ${JSON.stringify(failures)}`);
    assert.ok(values > 3000, `${values} values`);
    for (const kind of ['timeout', 'crc', 'wrong-unit', 'late', 'noise']) {
      assert.ok(
        failures.some((counted) => (counted[kind] ?? 0) > 10),
        `too few of ${kind} to tell`,
      );
    }
    await fieldbus.stop();
  });

  for (const wrong of [{ baudRate: 9600 }, { parity: 'even' as const }, { stopBits: 2 as const }]) {
    it(`set to ${JSON.stringify(wrong)} where it is not: no value, and the status says failing`, async () => {
      const clock = new FakeClock();
      const bus = rtuBus('sim');
      const line = new SimulatedLine(bus, clock);
      line.attach(
        rtuUnit(
          1,
          () => Uint8Array.of(3, 2, 0, 7),
          () => 10,
        ),
      );
      const points = [registerPoint('p', { table: 'holding', address: 0, type: 'uint16' })];
      const samples: Sample[] = [];
      const fieldbus = startFieldbus(
        { buses: [{ ...bus, ...wrong }], devices: [modbusDevice('m', { bus: 'rs485', unitId: 1, points })] },
        {
          clock,
          logger: silentLogger,
          openChannel: () => line.openChannel({ ...bus, ...wrong }),
          deliver: (_silo, all) => samples.push(...all),
        },
      );
      await clock.advanceAsync(20_000);
      assert.ok(samples.length >= 18);
      assert.ok(samples.every(({ values, quality }) => !('p' in values) && quality?.p !== undefined));
      assert.equal(fieldbus.status()[0]!.devices[0]!.state, 'offline');
      await fieldbus.stop();
    });
  }
});
