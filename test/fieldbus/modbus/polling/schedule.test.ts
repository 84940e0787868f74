import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { serialTiming } from '../../../../src/fieldbus/modbus/line-timing.ts';
import { costModel, costOf } from '../../../../src/fieldbus/modbus/planning/request-cost.ts';
import { itemsOf, planRequests } from '../../../../src/fieldbus/modbus/planning/planner.ts';
import { noBadRegisters } from '../../../../src/fieldbus/modbus/planning/bad-registers.ts';
import {
  charge,
  type Candidate,
  decide,
  openLedger,
} from '../../../../src/fieldbus/modbus/polling/scheduler.ts';
import { SlidingMinute } from '../../../../src/fieldbus/sharing/sliding-minute.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { modbusDevice, registerPoint, rtuBus } from '../../../support/modbus-options.ts';
import { meters, simulateFieldbus } from '../../../support/simulated-fieldbus.ts';

/** A clock whose timers are as late as those of an idle machine, which count whole milliseconds. */
class CoarseClock extends FakeClock {
  override after(delayMs: number, callback: () => void): () => void {
    return super.after(Math.max(1, Math.trunc(delayMs)) + 0.6, callback);
  }
}

describe('ten devices on one line', () => {
  it('asked for all their points use 95 % of the line', async (t) => {
    const addresses = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 52, 56, 70, 72, 74, 76, 156, 158];
    const points = addresses.map((address) =>
      registerPoint(`p${address}`, { table: 'holding', address, type: 'float32', everyMs: 1 }),
    );
    const devices = meters(10, 1, 1).map((device) => ({ ...device, points }));
    const bus = rtuBus('sim');
    const { clock, answerMs, line, samples, fieldbus } = simulateFieldbus(bus, devices, {
      clock: new CoarseClock(),
    });
    let roundMs = 0;
    for (const { unitId, limits } of devices) {
      answerMs.set(unitId, 5 + 3 * unitId);
      const cost = costModel(serialTiming(bus), 5 + 3 * unitId);
      const plan = planRequests(itemsOf(points), limits, cost, noBadRegisters, 0);
      roundMs += plan.reduce((sum, { table, quantity }) => sum + costOf(cost, table, quantity), 0);
    }
    await clock.advanceAsync(10_000);
    const before = samples.length;
    await clock.advanceAsync(60_000);
    const reached = (samples.length - before) / 60;
    const allowed = (devices.length * 1000) / roundMs;
    const share = `${((reached / allowed) * 100).toFixed(1)} %`;
    t.diagnostic(`${reached.toFixed(2)} polls/s of ${allowed.toFixed(2)} that the line allows: ${share}`);
    assert.ok(reached / allowed >= 0.95, share);
    assert.equal(line.collisions, 0);
    await fieldbus.stop();
  });

  it('keep their interval, and the line its silence', async () => {
    const { clock, line, of, fieldbus } = simulateFieldbus(rtuBus('sim'), meters(10, 10));
    await clock.advanceAsync(30_000);
    for (let device = 1; device <= 10; device += 1) {
      const times = of(`m${device}`).map(({ monotonicMs }) => monotonicMs);
      assert.ok(times.length >= 29, `m${device} was read ${times.length} times`);
      for (const [index, time] of times.entries()) {
        if (index > 0) assert.ok(Math.abs(time - times[index - 1]! - 1000) < 20);
      }
    }
    assert.equal(line.collisions, 0);
    await fieldbus.stop();
  });

  it('of which three are dead: the others keep their interval, the dead cost their share, and come back', async (t) => {
    const { clock, line, answerMs, asked, of, status, fieldbus } = simulateFieldbus(
      rtuBus('sim'),
      meters(10, 10),
    );
    const dead = [2, 5, 8];
    await clock.advanceAsync(10_000);
    for (const unitId of dead) answerMs.set(unitId, null);
    await clock.advanceAsync(10_000);
    const fromMs = clock.monotonicMs();
    const busyBefore = line.busyMs;
    await clock.advanceAsync(180_000);
    const untilMs = clock.monotonicMs();

    let worst = 0;
    for (let device = 1; device <= 10; device += 1) {
      if (dead.includes(device)) continue;
      const times = of(`m${device}`)
        .map(({ monotonicMs }) => monotonicMs)
        .filter((time) => time >= fromMs);
      assert.ok(times.length >= 178, `m${device} was read ${times.length} times in 180 s`);
      for (const [index, time] of times.entries()) {
        if (index > 0) worst = Math.max(worst, Math.abs(time - times[index - 1]! - 1000));
      }
    }
    t.diagnostic(`worst lateness of the seven living: ${worst.toFixed(1)} ms`);
    assert.ok(worst < 1000, `${worst} ms late`);

    const shares = dead.map((unitId) => status(`m${unitId}`).busShare);
    const share = shares.reduce((sum, each) => sum + each, 0);
    t.diagnostic(`the three dead cost ${(share * 100).toFixed(1)} % of the bus's time`);
    assert.ok(share <= 0.105, `the dead cost ${share}`);
    assert.ok(line.busyMs > busyBefore);

    for (const unitId of dead) {
      const reported = of(`m${unitId}`).filter(({ monotonicMs }) => monotonicMs >= fromMs);
      assert.ok(reported.length >= 178);
      assert.ok(reported.every(({ quality }) => quality?.p0 === 'offline'));
      const tries = asked.filter((each) => each.unitId === unitId && each.atMs >= fromMs);
      const gaps = tries.map(({ atMs }, index) => (tries[index + 1]?.atMs ?? untilMs) - atMs);
      assert.ok(Math.max(...gaps) <= 15_000, `m${unitId} was left alone for ${Math.max(...gaps)} ms`);
    }

    for (const unitId of dead) answerMs.set(unitId, 10);
    await clock.advanceAsync(15_000);
    for (const unitId of dead) {
      const back = of(`m${unitId}`).find((sample) => sample.monotonicMs >= untilMs && 'p0' in sample.values);
      assert.ok(back, `m${unitId} is not back after 15 s`);
      assert.equal(status(`m${unitId}`).state, 'good');
    }
    assert.equal(line.collisions, 0);
    await fieldbus.stop();
  });
});

describe('a bus of two silos', () => {
  it('that asks for more than there is: a hundred points can’t starve another’s five', async () => {
    const big = meters(8, 100, 500).map((device) => ({ ...device, silo: 'south' }));
    const [small] = meters(1, 5, 500);
    const devices = [...big, { ...small!, name: 'small', silo: 'north', unitId: 50 }];
    const { clock, of, status, fieldbus } = simulateFieldbus(rtuBus('sim', { baudRate: 9600 }), devices);
    await clock.advanceAsync(60_000);
    const times = of('small').map(({ monotonicMs }) => monotonicMs);
    assert.ok(times.length >= 100, `north's device was read ${times.length} times in 60 s`);
    const south = big.map(({ name }) => status(name));
    assert.ok(south.every(({ latenessMs }) => latenessMs > 500));
    assert.ok(status('small').latenessMs < 500);
    const counts = south.map(({ samples }) => samples);
    assert.ok(Math.min(...counts) > 0.8 * Math.max(...counts), `south's were read ${counts.join()} times`);
    await fieldbus.stop();
  });

  it('gives each half of an overloaded line, and says what each used', async () => {
    const south = meters(4, 60, 200).map((device) => ({ ...device, silo: 'south' }));
    const north = meters(2, 60, 200).map((device, index) => ({
      ...device,
      name: `n${index}`,
      unitId: 20 + index,
    }));
    const { clock, fieldbus } = simulateFieldbus(rtuBus('sim', { baudRate: 9600 }), [...south, ...north]);
    await clock.advanceAsync(90_000);
    const [bus] = fieldbus.status();
    const share = (silo: string): number =>
      bus!.devices.filter((each) => each.silo === silo).reduce((sum, { busShare }) => sum + busShare, 0);
    assert.ok(Math.abs(share('south') - 0.5) < 0.03, `south had ${share('south')}`);
    assert.ok(Math.abs(share('north') - 0.5) < 0.03, `north had ${share('north')}`);
    assert.ok(bus!.load > 0.97);
    await fieldbus.stop();
  });
});

describe('intervals of points', () => {
  it('slow points ride along with the fast ones, in one sample', async () => {
    const device = modbusDevice('boiler', {
      bus: 'rs485',
      unitId: 1,
      points: [
        registerPoint('fast', { table: 'holding', address: 0, type: 'uint16', everyMs: 1000 }),
        registerPoint('slow', { table: 'holding', address: 100, type: 'uint16', everyMs: 10_000 }),
      ],
    });
    const { clock, of, fieldbus } = simulateFieldbus(rtuBus('sim'), [device]);
    await clock.advanceAsync(30_500);
    const samples = of('boiler');
    assert.equal(samples.length, 31);
    assert.equal(samples.filter(({ values }) => 'slow' in values).length, 4);
    assert.ok(samples.every(({ values }) => 'fast' in values));
    await fieldbus.stop();
  });
});

describe('a decision', () => {
  const candidate = fc.record({
    silo: fc.constantFrom('north', 'south', 'west'),
    readyAtMs: fc.integer({ min: 0, max: 2000 }),
    deadlineMs: fc.integer({ min: 0, max: 4000 }),
    dead: fc.boolean(),
    begun: fc.boolean(),
    costMs: fc.integer({ min: 0, max: 1000 }),
  });
  const now = 1000;

  it('asks the ready device with the earliest deadline, and never one that is not ready', () => {
    fc.assert(
      fc.property(fc.array(candidate, { minLength: 1, maxLength: 12 }), (candidates) => {
        const decision = decide(candidates, openLedger(['north', 'south', 'west'], new Map(), now), 0.1, now);
        const living = candidates.filter(({ dead, readyAtMs }) => !dead && readyAtMs <= now);
        if (decision.kind === 'wait') {
          assert.equal(living.length, 0);
          assert.ok(decision.untilMs > now);
          return;
        }
        const chosen = candidates[decision.index]!;
        assert.ok(chosen.readyAtMs <= now);
        if (!chosen.dead) {
          assert.equal(chosen.deadlineMs, Math.min(...living.map(({ deadlineMs }) => deadlineMs)));
        }
      }),
    );
  });

  it('limits dead devices to their share, for any number of them', () => {
    const dead: Candidate = {
      silo: 'north',
      readyAtMs: 0,
      deadlineMs: 0,
      dead: true,
      begun: false,
      costMs: 250,
    };
    let ledger = openLedger(['north'], new Map(), 0);
    let spent = 0;
    let time = 0;
    while (time < 600_000) {
      const decision = decide([dead, dead, dead], ledger, 0.1, time);
      if (decision.kind === 'wait') {
        time = Math.ceil(decision.untilMs);
        continue;
      }
      time += 250;
      spent += 250;
      ledger = charge(ledger, dead, 0.1, time);
    }
    assert.ok(spent / time < 0.105, `${spent / time}`);
    assert.ok(spent / time > 0.08, `${spent / time}`);
  });

  it('gives a silo that was away no right to a burst', () => {
    let ledger = openLedger(['north', 'south'], new Map(), 0);
    for (let time = 0; time < 60_000; time += 100)
      ledger = charge(ledger, { silo: 'south', dead: false, costMs: 100 }, 0.1, time);
    const behind = ledger.spentMs.get('south')! - ledger.spentMs.get('north')!;
    assert.ok(behind <= 400, `north may catch up ${behind} ms`);
  });
});

describe('sliding minute', () => {
  it('forgets older values, and takes shares only of the time observed', () => {
    const minute = new SlidingMinute(0);
    minute.add(500, 1000);
    assert.equal(minute.share(1000), 0.5);
    minute.add(300, 30_000);
    assert.equal(minute.max(30_000), 500);
    assert.equal(minute.max(62_000), 300);
    assert.equal(minute.max(200_000), 0);
    assert.equal(minute.share(200_000), 0);
  });
});
