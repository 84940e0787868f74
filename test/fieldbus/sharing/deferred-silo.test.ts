import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../src/base/logger.ts';
import { startFieldbus } from '../../../src/fieldbus/fieldbus.ts';
import { averagedOverMs } from '../../../src/fieldbus/sharing/bus-share.ts';
import { serialTiming } from '../../../src/fieldbus/modbus/line-timing.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { rtuBus, tcpBus } from '../../support/modbus-options.ts';
import { SimulatedLine } from '../../support/serial-line.ts';
import { meters, type SimulatedFieldbus, simulateFieldbus } from '../../support/simulated-fieldbus.ts';

/** Eight devices that want ten polls a second each: some fifty times what a line at 9600 baud can carry. */
const flood = (options = {}) => meters(8, 60, 100, { silo: 'south', prefix: 's', firstUnit: 40, ...options });
const shares = (busShare: number) => new Map([['south', busShare]]);

/** Share of the time that requests to these units, and their answers of that many registers, took of the line. */
function measuredShare(
  { asked, answerMs, clock }: SimulatedFieldbus,
  bus: Parameters<typeof serialTiming>[0],
  isOurs: (unitId: number) => boolean,
  registers: number,
  sinceMs: number,
): number {
  const { charMs, silenceMs } = serialTiming(bus);
  const ours = asked.filter(({ unitId, atMs }) => isOurs(unitId) && atMs >= sinceMs);
  const busyMs = ours.reduce((sum, { unitId }) => sum + answerMs.get(unitId)!, 0);
  const frames = ours.length * ((8 + 5 + 2 * registers) * charMs + silenceMs);
  return (busyMs + frames) / (clock.monotonicMs() - sinceMs);
}

function intervalsOf(simulation: SimulatedFieldbus, device: string, sinceMs: number): number[] {
  const times = simulation.of(device).map(({ monotonicMs }) => monotonicMs);
  return times.filter((time) => time >= sinceMs).map((time, index, all) => time - (all[index - 1] ?? time));
}

describe('a silo that floods a line with a share of a fifth', () => {
  const bus = rtuBus('sim', { baudRate: 9600 });

  it('has a fifth, and its neighbour keeps its schedule', async (t) => {
    const north = meters(3, 20);
    const simulation = simulateFieldbus(bus, [...flood(), ...north], { shares: shares(0.2) });
    const { clock, events, line, fieldbus } = simulation;
    await clock.advanceAsync(10_000);
    const sinceMs = clock.monotonicMs();
    await clock.advanceAsync(120_000);

    const share = measuredShare(simulation, bus, (unitId) => unitId >= 40, 60, sinceMs);
    const slack = (0.2 * averagedOverMs + 200) / 120_000;
    assert.ok(share < 0.2 + slack && share > 0.18, `south had ${share} of the line`);
    const south = simulation.silo('south');
    assert.ok(Math.abs(south.busShare - share) < 0.02, `and its status says ${south.busShare}`);
    assert.equal(south.busShareMax, 0.2);
    assert.ok(south.held);

    let worstMs = 0;
    for (const { name } of north) {
      const intervals = intervalsOf(simulation, name, sinceMs).slice(1);
      assert.ok(intervals.length >= 118, `${name} was read ${intervals.length} times in 120 s`);
      for (const interval of intervals) worstMs = Math.max(worstMs, Math.abs(interval - 1000));
    }
    // As late as one request of the neighbour's that has begun.
    assert.ok(worstMs < 250, `${worstMs} ms late`);
    t.diagnostic(
      `south had ${(share * 100).toFixed(1)} %; north at most ${worstMs.toFixed(0)} ms off its second`,
    );
    const { held, busShareMax } = simulation.silo('north');
    assert.deepEqual({ held, busShareMax }, { held: false, busShareMax: null });

    const counts = flood().map(({ name }) => simulation.status(name).samples);
    assert.ok(Math.min(...counts) > 0.8 * Math.max(...counts), `south's were read ${counts.join()} times`);
    assert.ok(flood().every(({ name }) => simulation.status(name).latenessMs > 1000));
    assert.deepEqual(
      events.map(({ silo, state, limit }) => ({ silo, state, limit })),
      [{ silo: 'south', state: 'reached', limit: 0.2 }],
    );
    assert.equal(line.collisions, 0);
    await fieldbus.stop();
  });

  it('is no longer limited ten seconds after it asks for less', async () => {
    const simulation = simulateFieldbus(bus, [...flood(), ...meters(3, 20)], { shares: shares(0.2) });
    const { clock, events, fieldbus } = simulation;
    await clock.advanceAsync(60_000);
    await simulation.reconfigure([...flood().slice(0, 1).map(slower), ...meters(3, 20)], shares(0.2));
    const changedMs = clock.monotonicMs();
    await clock.advanceAsync(30_000);
    assert.deepEqual(
      events.map(({ state }) => state),
      ['reached', 'cleared'],
    );
    const tookMs = events[1]!.atMs - changedMs;
    assert.ok(tookMs >= averagedOverMs && tookMs < 2 * averagedOverMs, `after ${tookMs} ms`);
    assert.ok(!simulation.silo('south').held);
    await fieldbus.stop();
  });

  it('may burst after a pause: a poll of all its devices at once', async () => {
    const south = meters(8, 60, 20_000, { silo: 'south', prefix: 's', firstUnit: 40 });
    const simulation = simulateFieldbus(bus, south, { shares: shares(0.3) });
    await simulation.clock.advanceAsync(70_000);
    assert.ok(south.every(({ name }) => simulation.of(name).length === 4));
    assert.ok(south.every(({ name }) => simulation.status(name).latenessMs < 1500));
    assert.deepEqual(simulation.events, []);
    await simulation.fieldbus.stop();
  });

  it('sets no timers while it waits', async () => {
    const clock = new FakeClock();
    let timers = 0;
    const after = clock.after.bind(clock);
    clock.after = (delayMs, callback) => {
      timers += 1;
      return after(delayMs, callback);
    };
    const slow = meters(1, 60, 100, { silo: 'south', prefix: 's' });
    const simulation = simulateFieldbus(bus, slow, { clock, shares: shares(0.001) });
    await clock.advanceAsync(30_000);
    const before = timers;
    await clock.advanceAsync(60_000);
    assert.ok(timers - before < 10, `${timers - before} timers in a minute of waiting`);
    assert.equal(simulation.of('s1').length, 1);
    await simulation.fieldbus.stop();
  });
});

describe('a slow line', () => {
  it('with requests of seconds still keeps a share', async () => {
    const bus = rtuBus('sim', { baudRate: 1200 });
    const south = meters(3, 120, 1000, { silo: 'south', prefix: 's', firstUnit: 40 });
    const north = meters(1, 10, 10_000);
    const simulation = simulateFieldbus(bus, [...south, ...north], { shares: shares(0.2) });
    const { clock } = simulation;
    await clock.advanceAsync(20_000);
    const sinceMs = clock.monotonicMs();
    await clock.advanceAsync(600_000);
    const share = measuredShare(simulation, bus, (unitId) => unitId >= 40, 120, sinceMs);
    assert.ok(share < 0.21 && share > 0.18, `south had ${share} of the line`);
    assert.ok(simulation.of('m1').length >= 61);
    assert.ok(south.every(({ name }) => simulation.of(name).length > 10));
    await simulation.fieldbus.stop();
  });
});

describe('dead devices of a silo with a share', () => {
  const bus = { ...rtuBus('sim', { baudRate: 9600 }), deadShareMax: 0.5 };

  it('cost only that share, are tried again, and come back', async () => {
    const south = flood();
    const simulation = simulateFieldbus(bus, [...south, ...meters(3, 20)], { shares: shares(0.1) });
    const { clock, answerMs, fieldbus } = simulation;
    for (const { unitId } of south) answerMs.set(unitId, null);
    // Sixteen timeouts of 1 s until all are known to be dead, of which a tenth of the time has to be enough.
    await clock.advanceAsync(240_000);
    const sinceMs = clock.monotonicMs();
    await clock.advanceAsync(120_000);
    const { busShare } = simulation.silo('south');
    assert.ok(busShare < 0.12, `they cost ${busShare}`);
    for (let device = 1; device <= 3; device += 1) {
      const intervals = intervalsOf(simulation, `m${device}`, sinceMs).slice(1);
      assert.ok(intervals.length >= 112, `m${device} was read ${intervals.length} times in 120 s`);
    }
    for (const { name } of south) {
      const reported = simulation.of(name).filter(({ monotonicMs }) => monotonicMs >= sinceMs);
      assert.ok(reported.length >= 1000, `${name} was told to be offline ${reported.length} times`);
      assert.ok(reported.every(({ quality }) => quality?.p0 === 'offline'));
    }
    for (const { unitId } of south) answerMs.set(unitId, 10);
    await clock.advanceAsync(120_000);
    for (const { name } of south) assert.equal(simulation.status(name).state, 'good', name);
    await fieldbus.stop();
  });

  it('are asked, although the live devices of that silo use its whole share', async () => {
    const south = flood();
    const simulation = simulateFieldbus(bus, [...south, ...meters(3, 20)], { shares: shares(0.2) });
    const { clock, answerMs, asked, fieldbus } = simulation;
    answerMs.set(40, null);
    await clock.advanceAsync(60_000);
    const sinceMs = clock.monotonicMs();
    await clock.advanceAsync(120_000);
    const tries = asked.filter(({ unitId, atMs }) => unitId === 40 && atMs >= sinceMs);
    assert.ok(tries.length >= 6, `${tries.length} tries in 120 s`);
    await fieldbus.stop();
  });
});

describe('a silo on two buses', () => {
  it('is limited from the first bus that limits it until none does', async () => {
    const clock = new FakeClock();
    const buses = ['a', 'b'].map((name) => rtuBus(name, { name, baudRate: 9600 }));
    const lines = new Map(buses.map((bus) => [bus.name, new SimulatedLine(bus, clock)]));
    const told: string[] = [];
    const devices = (everyMs: number[]) =>
      everyMs.flatMap((each, index) =>
        flood().map((device) => ({ ...slower(device, each), bus: buses[index]!.name })),
      );
    const fieldbus = startFieldbus(
      { buses, devices: devices([100, 100]), busShares: shares(0.1) },
      {
        clock,
        logger: silentLogger,
        openChannel: ({ name }) => lines.get(name)!.openChannel(),
        deliver: () => {},
        onShare: (silo, { state, limit }) => told.push(`${silo} ${state} ${limit}`),
      },
    );
    await clock.advanceAsync(60_000);
    assert.deepEqual(told, ['south reached 0.1']);
    await fieldbus.reconfigure({ buses, devices: [], busShares: shares(0.1) });
    assert.deepEqual(told, ['south reached 0.1', 'south cleared 0.1']);
    await fieldbus.reconfigure({ buses, devices: devices([100]), busShares: shares(0.1) });
    await clock.advanceAsync(60_000);
    assert.equal(told.length, 3);
    const held = fieldbus.status().map(({ silos }) => silos.map((each) => each.held));
    assert.deepEqual(held, [[true], []]);
    await fieldbus.reconfigure({ buses: buses.slice(1), devices: [], busShares: shares(0.1) });
    assert.equal(told.length, 4);
    await fieldbus.stop();
  });
});

describe('a connection that is closed when idle', () => {
  const line = rtuBus('sim', { baudRate: 9600 });
  const bus = { ...tcpBus(1, { name: 'rs485', idleCloseMs: 500 }), kind: 'modbus-rtu-over-tcp' as const };

  it('is not opened for a silo that has to wait', async () => {
    const south = meters(1, 100, 1000, { silo: 'south' });
    const simulation = simulateFieldbus(bus, south, { line, shares: shares(0.001) });
    await simulation.clock.advanceAsync(60_000);
    assert.equal(simulation.openings(), 1);
    await simulation.clock.advanceAsync(600_000);
    assert.ok(simulation.openings() >= 2);
    await simulation.fieldbus.stop();
  });

  it('is opened for devices that are all dead, and they come back', async () => {
    const simulation = simulateFieldbus({ ...bus, idleCloseMs: 2000 }, meters(1, 10), { line });
    const { clock, answerMs } = simulation;
    await clock.advanceAsync(5000);
    answerMs.set(1, null);
    await clock.advanceAsync(60_000);
    assert.equal(simulation.status('m1').state, 'offline');
    answerMs.set(1, 10);
    await clock.advanceAsync(30_000);
    assert.equal(simulation.status('m1').state, 'good');
    await simulation.fieldbus.stop();
  });
});

function slower(device: ReturnType<typeof flood>[number], everyMs = 10_000) {
  return { ...device, everyMs, points: device.points.map((point) => ({ ...point, everyMs })) };
}
