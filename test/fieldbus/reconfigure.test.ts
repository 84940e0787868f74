import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import { startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { ModbusDeviceOptions } from '../../src/fieldbus/options.ts';
import type { Sample } from '../../src/reading/sample.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { modbusDevice, registerPoint, rtuBus } from '../support/modbus-options.ts';
import { randomFrom } from '../support/random.ts';
import { rtuUnit, SimulatedLine } from '../support/serial-line.ts';
import {
  contentOf,
  meters,
  type SimulatedFieldbus,
  simulateFieldbus,
} from '../support/simulated-fieldbus.ts';

const bus = rtuBus('sim');
const north = meters(3, 20);
const south = meters(3, 20, 500, { silo: 'south', prefix: 's', firstUnit: 40 });

/** Every sample was on time and complete, and every one was counted. */
function assertUndisturbed({ of, status, clock }: SimulatedFieldbus, name: string): void {
  const samples = of(name);
  const times = samples.map(({ monotonicMs }) => monotonicMs);
  for (const [index, time] of times.entries()) {
    if (index === 0) continue;
    const interval = time - times[index - 1]!;
    // As late as one request of another device that has begun.
    assert.ok(Math.abs(interval - 1000) < 120, `${name}: ${interval} ms between two samples`);
  }
  assert.ok(clock.monotonicMs() - times.at(-1)! < 1120, `${name} is read to the end`);
  assert.ok(samples.every(({ quality }) => quality === undefined));
  assert.equal(status(name).samples, samples.length, `${name}: counters go on`);
}

/** Advances the clock until `done`. */
async function passing(clock: FakeClock, done: Promise<void>): Promise<void> {
  const state = { isDone: false };
  const end = done.finally(() => (state.isDone = true));
  for (let ms = 0; ms < 10_000 && !state.isDone; ms += 1) await clock.advanceAsync(1);
  await end;
}

function withPoints(device: ModbusDeviceOptions, addresses: readonly number[]): ModbusDeviceOptions {
  const points = addresses.map((address) =>
    registerPoint(`p${address}`, { table: 'holding', address, type: 'uint16', everyMs: device.everyMs }),
  );
  return { ...device, points };
}

describe('devices that change on a bus of two silos', () => {
  it('leave the other silo’s polling as it was, and its port open', async () => {
    const simulation = simulateFieldbus(bus, [...north, ...south]);
    const { clock, of, asked, status, reconfigure, fieldbus } = simulation;
    const changes = [
      south.slice(0, 2),
      [...south, ...meters(2, 5, 300, { silo: 'south', prefix: 't', firstUnit: 60 })],
      [],
      south.map((device) => withPoints(device, [100, 150])),
      south.map((device) => ({ ...device, unitId: device.unitId + 10 })),
      south.map((device) => ({ ...device, responseTimeoutMs: 500 })),
      south,
    ];
    await clock.advanceAsync(10_311);
    for (const changed of changes) {
      await reconfigure([...changed, ...north]);
      await clock.advanceAsync(7_137);
      const names = fieldbus.status()[0]!.devices.map(({ name }) => name);
      assert.deepEqual(
        names,
        [...changed, ...north].map(({ name }) => name),
      );
    }
    for (const { name } of north) assertUndisturbed(simulation, name);
    assert.equal(simulation.openings(), 1);
    assert.equal(simulation.line.collisions, 0);

    await reconfigure([withPoints(south[0]!, [120]), ...north]);
    const sinceMs = clock.monotonicMs();
    await clock.advanceAsync(5000);
    const after = of('s1').filter(({ monotonicMs }) => monotonicMs > sinceMs + 100);
    assert.ok(after.length >= 9);
    assert.ok(after.every(({ values }) => values['p120'] === contentOf(40, 120)));
    assert.equal(status('s1').samples, of('s1').filter(({ values }) => 'p120' in values).length);
    const units = asked.filter(({ atMs }) => atMs > sinceMs + 100).map(({ unitId }) => unitId);
    assert.deepEqual(new Set(units), new Set([1, 2, 3, 40]));
    await fieldbus.stop();
  });

  it('do not change where only their place in the file does', async () => {
    const placed = (lines: number) =>
      [...north, ...south].map((device) => ({
        ...device,
        place: `site.yaml:${lines}:3`,
        points: device.points.map((point) => ({ ...point, place: `site.yaml:${lines + 1}:7` })),
      }));
    const simulation = simulateFieldbus(bus, placed(10));
    await simulation.clock.advanceAsync(5300);
    await simulation.reconfigure(placed(20));
    await simulation.clock.advanceAsync(5300);
    for (const { name } of north) assertUndisturbed(simulation, name);
    assert.equal(simulation.status('s1').samples, simulation.of('s1').length);
    await simulation.fieldbus.stop();
  });

  it('keep the state of the others: their dead devices stay dead, and the ledger is unchanged', async () => {
    const simulation = simulateFieldbus(bus, [...north, ...south]);
    const { clock, answerMs, status, asked, reconfigure } = simulation;
    answerMs.set(1, null);
    await clock.advanceAsync(60_000);
    const { failures, requests } = status('m1');
    const tries = asked.length;
    for (let times = 0; times < 20; times += 1) {
      await reconfigure([...north, ...south.slice(times % 3)]);
      await clock.advanceAsync(500);
    }
    assert.equal(status('m1').state, 'offline');
    assert.ok(status('m1').failures['timeout']! >= failures['timeout']!);
    assert.ok(asked.slice(tries).filter(({ unitId }) => unitId === 1).length <= 2, 'it is left in its pause');
    assert.ok(status('m1').requests >= requests);
    await simulation.fieldbus.stop();
  });

  it('that were waited for give no sample any more', async () => {
    const slow = south.slice(0, 1);
    const simulation = simulateFieldbus(bus, [...north, ...slow]);
    const { clock, answerMs, asked, of, reconfigure } = simulation;
    answerMs.set(40, 700);
    while (asked.at(-1)?.unitId !== 40) await clock.advanceAsync(5);
    const before = of('s1').length;
    await reconfigure(north);
    await clock.advanceAsync(3000);
    assert.equal(of('s1').length, before);
    await simulation.fieldbus.stop();
  });

  it('get another share without an end to their polling', async () => {
    const simulation = simulateFieldbus(bus, [...north, ...south], { shares: new Map([['south', 0.5]]) });
    const { clock, reconfigure, silo, of } = simulation;
    await clock.advanceAsync(5000);
    await reconfigure([...north, ...south], new Map([['south', 0.01]]));
    await clock.advanceAsync(60_000);
    assert.equal(silo('south').busShareMax, 0.01);
    assert.ok(silo('south').held);
    await reconfigure([...north, ...south]);
    assert.deepEqual(
      { ...silo('south'), busShare: 0 },
      { silo: 'south', busShare: 0, busShareMax: null, held: false },
    );
    const count = of('s1').length;
    await clock.advanceAsync(10_000);
    assert.ok(of('s1').length >= count + 19);
    for (const { name } of north) assertUndisturbed(simulation, name);
    await simulation.fieldbus.stop();
  });
});

describe('a bus that changes', () => {
  it('is reopened, and no other', async () => {
    const clock = new FakeClock();
    const buses = ['a', 'b'].map((name) => rtuBus(name, { name }));
    const lines = new Map(buses.map(({ name }) => [name, new SimulatedLine(bus, clock)]));
    const openings: string[] = [];
    const samples: Sample[] = [];
    for (const line of lines.values()) {
      line.attach(
        rtuUnit(
          1,
          () => Uint8Array.of(3, 2, 0, 7),
          () => 10,
        ),
      );
    }
    const points = [registerPoint('p', { table: 'holding', address: 0, type: 'uint16' })];
    const devices = buses.map(({ name }) => modbusDevice(`on ${name}`, { bus: name, unitId: 1, points }));
    const fieldbus = startFieldbus(
      { buses, devices },
      {
        clock,
        logger: silentLogger,
        openChannel: ({ name }) => {
          openings.push(name);
          return lines.get(name[0]!)!.openChannel();
        },
        deliver: (_silo, all) => samples.push(...all),
      },
    );
    await clock.advanceAsync(3000);
    const [a, b] = [buses[0]!, { ...buses[1]!, deadShareMax: 0.3 }];
    await passing(clock, fieldbus.reconfigure({ buses: [a, b], devices }));
    await clock.advanceAsync(3000);
    assert.deepEqual(openings, ['a', 'b', 'b']);
    const added = { ...a, name: 'a new one' };
    await passing(clock, fieldbus.reconfigure({ buses: [b, added], devices: devices.slice(1) }));
    const count = (device: string): number => samples.filter((sample) => sample.device === device).length;
    const before = { a: count('on a'), b: count('on b') };
    await clock.advanceAsync(3000);
    assert.deepEqual(openings, ['a', 'b', 'b', 'a new one']);
    assert.deepEqual(
      fieldbus.status().map(({ name, state }) => `${name} ${state}`),
      ['b open', 'a new one open'],
    );
    assert.equal(count('on a'), before.a);
    assert.equal(count('on b'), before.b + 3);
    await fieldbus.stop();
  });

  it('waits for its requests before it closes, five seconds at most, but not at a stop', async () => {
    const patient = withPoints({ ...south[0]!, responseTimeoutMs: 60_000 }, [0]);
    const other = { ...bus, deadShareMax: 0.2 };
    for (const [answerAfterMs, tookMs] of [
      [2000, 2000],
      [null, 5000],
    ] as const) {
      const simulation = simulateFieldbus(bus, [patient]);
      const { clock, answerMs, asked, reconfigure, fieldbus } = simulation;
      answerMs.set(40, answerAfterMs);
      while (asked.length === 0) await clock.advanceAsync(1);
      const fromMs = clock.monotonicMs();
      let doneMs = 0;
      const done = reconfigure([patient], undefined, other).then(() => (doneMs = clock.monotonicMs()));
      await clock.advanceAsync(10_000);
      await done;
      assert.ok(Math.abs(doneMs - fromMs - tookMs) < 30, `after ${doneMs - fromMs} ms`);
      assert.equal(simulation.openings(), 2);
      answerMs.set(40, null);
      const ending = reconfigure([], undefined, bus);
      await fieldbus.stop();
      await ending;
      assert.equal(clock.timers, 0);
    }
  });
});

describe('changes at any time', () => {
  const addresses = [0, 30, 60, 90];
  const responseTimeoutMs = 200;

  /** A device that answers one request after another, many long after they were given up. */
  function tardy(
    simulation: { clock: FakeClock; line: SimulatedLine },
    unitId: number,
    random: () => number,
  ) {
    const { clock, line } = simulation;
    let busyUntilMs = 0;
    const answer = (pdu: Uint8Array): Uint8Array => {
      const address = (pdu[1]! << 8) | pdu[2]!;
      const words = Array.from({ length: pdu[4]! }, (_, index) => contentOf(unitId, address + index));
      return Uint8Array.of(3, pdu[4]! * 2, ...words.flatMap((word) => [word >> 8, word & 0xff]));
    };
    line.attach(
      rtuUnit(unitId, answer, () => {
        const delayMs = random() < 0.3 ? random() * 4 * responseTimeoutMs : 5 + random() * 20;
        busyUntilMs = Math.max(clock.monotonicMs(), busyUntilMs) + delayMs;
        return busyUntilMs - clock.monotonicMs();
      }),
    );
  }

  it('on a line of late answers, for half a simulated hour: not one wrong value', async (t) => {
    const random = randomFrom(11);
    const clock = new FakeClock();
    const line = new SimulatedLine(bus, clock);
    const units = [1, 2, 3];
    for (const unitId of units) tardy({ clock, line }, unitId, random);
    const limits = { registersMax: 125, bitsMax: 2000, gapMax: 0, requestGapMs: 0 };
    const anyDevices = (): ModbusDeviceOptions[] =>
      units.flatMap((unitId) => {
        if (random() < 0.3) return [];
        const silo = random() < 0.5 ? 'north' : 'south';
        const name = `u${unitId}`;
        const device = modbusDevice(name, {
          bus: 'rs485',
          unitId,
          silo,
          points: [],
          limits,
          responseTimeoutMs,
        });
        const asked = addresses.filter(() => random() < 0.5);
        return asked.length === 0 ? [] : [withPoints({ ...device, everyMs: 300 }, asked)];
      });
    const wrong: unknown[] = [];
    let values = 0;
    let devices = anyDevices();
    const fieldbus = startFieldbus(
      { buses: [bus], devices },
      {
        clock,
        logger: silentLogger,
        openChannel: () => line.openChannel(),
        deliver: (silo, samples) => {
          for (const sample of samples) {
            for (const [name, value] of Object.entries(sample.values)) {
              values += 1;
              const right = contentOf(Number(sample.device.slice(1)), Number(name.slice(1)));
              if (value !== right) wrong.push({ silo, ...sample });
            }
          }
        },
      },
    );
    let deadShareMax = 0.1;
    for (let times = 0; times < 900; times += 1) {
      devices = anyDevices();
      // Every third time the line is closed and reopened.
      if (times % 3 === 0) deadShareMax = 0.1 + random() / 10;
      const done = fieldbus.reconfigure({ buses: [{ ...bus, deadShareMax }], devices });
      await clock.advanceAsync(random() * 4000);
      if (times % 5 > 0) await passing(clock, done);
    }
    t.diagnostic(`${values} values`);
    assert.deepEqual(wrong, []);
    assert.ok(values > 3000, `${values} values`);
    await fieldbus.stop();
  });

  it('do not take an answer from before the line was reopened for another', async () => {
    const slow = { ...withPoints(south[0]!, [0]), responseTimeoutMs: 60_000 };
    const simulation = simulateFieldbus(bus, [slow]);
    const { clock, answerMs, asked, of, reconfigure, fieldbus } = simulation;
    answerMs.set(40, 8000);
    while (asked.length === 0) await clock.advanceAsync(1);
    const next = { ...withPoints(slow, [100]), silo: 'north', name: 'next' };
    await passing(clock, reconfigure([next], undefined, { ...bus, deadShareMax: 0.2 }));
    await clock.advanceAsync(60_000);
    assert.equal(of('s1').length, 0);
    assert.ok(of('next').length >= 3);
    assert.ok(of('next').every(({ values }) => values['p100'] === contentOf(40, 100)));
    await fieldbus.stop();
  });

  it('come one after the other, and none after the stop', async () => {
    const simulation = simulateFieldbus(bus, north);
    const { clock, reconfigure, fieldbus } = simulation;
    await clock.advanceAsync(2000);
    const first = reconfigure(south, undefined, { ...bus, deadShareMax: 0.2 });
    const second = reconfigure([...north, ...south], undefined, { ...bus, deadShareMax: 0.3 });
    await clock.advanceAsync(5000);
    await Promise.all([first, second]);
    assert.equal(fieldbus.status()[0]!.devices.length, 6);
    assert.equal(simulation.openings(), 3);
    await fieldbus.stop();
    await reconfigure(south);
    assert.equal(fieldbus.status()[0]!.state, 'closed');
    assert.equal(clock.timers, 0);
  });
});
