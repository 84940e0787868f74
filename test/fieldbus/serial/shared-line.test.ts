import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../src/base/logger.ts';
import { type FieldbusOptions, startFieldbus } from '../../../src/fieldbus/fieldbus.ts';
import type { BusOptions, SerialDeviceOptions } from '../../../src/fieldbus/options.ts';
import type { ChannelEvents, OpenChannel } from '../../../src/fieldbus/port/port.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { sensor, text } from './rig.ts';

const bus: BusOptions & { kind: 'serial' } = {
  kind: 'serial',
  name: 'line',
  port: 'sim',
  baudRate: 9600,
  dataBits: 8,
  parity: 'none',
  stopBits: 1,
  deadShareMax: 0.1,
};

/** A sensor whose answer does not identify it. */
function probe(address: number, options: Partial<SerialDeviceOptions> = {}): SerialDeviceOptions {
  const messages = [{ pattern: '^(?<level>[+-][\\d.]+)', fields: [{ name: 'level' }] }];
  const device = sensor({ request: `${address}R0!`, messages }, 1000, 1000);
  return { ...device, name: `probe-${address}`, silo: address < 5 ? 'north' : 'south', ...options };
}

/** Several sensors on a line; `probe-N` answers `+N.5`, `answerMs` later. */
function simulate(first: Omit<FieldbusOptions, 'buses'>, answerMs = 100) {
  const clock = new FakeClock();
  const asked: { what: string; atMs: number }[] = [];
  const samples: Sample[] = [];
  const told: string[] = [];
  const line = { answerMs, openings: 0 };
  let say: (bytes: Uint8Array) => void = () => {};
  const openChannel = (): OpenChannel => (events: ChannelEvents) => {
    line.openings += 1;
    let arrived: Uint8Array[] = [];
    let watched = false;
    const tell = (): void => {
      const wasWatched = watched;
      watched = false;
      if (wasWatched) events.readable();
    };
    say = (bytes) => {
      arrived.push(bytes);
      tell();
    };
    return Promise.resolve({
      write: (bytes) => {
        const what = Buffer.from(bytes).toString('latin1');
        asked.push({ what, atMs: clock.monotonicMs() });
        clock.after(line.answerMs, () => say(text(`+${what[0]}.5\r\n`)));
      },
      read: () => {
        const bytes = Buffer.concat(arrived);
        arrived = [];
        return bytes;
      },
      watch: () => {
        watched = true;
        if (arrived.length > 0) queueMicrotask(tell);
      },
      setBaudRate: () => Promise.resolve(),
      close: () => Promise.resolve(),
    });
  };
  const fieldbus = startFieldbus(
    { buses: [bus], ...first },
    {
      clock,
      logger: silentLogger,
      openChannel,
      deliver: (_silo, all) => samples.push(...all),
      onShare: (silo, { state }) => told.push(`${silo} ${state}`),
    },
  );
  const of = (device: string): Sample[] => samples.filter((sample) => sample.device === device);
  return { clock, asked, samples, told, line, fieldbus, of, say: (said: string) => say(text(said)) };
}

describe('polled sensors of a silo with a share of a serial line', () => {
  it('wait for it, one after the other, and their neighbours do not', async () => {
    const greedy = [5, 6, 7].map((address) => probe(address, { everyMs: 200 }));
    const devices = [...greedy, probe(1)];
    const { clock, asked, told, of, fieldbus } = simulate({ devices, busShares: new Map([['south', 0.2]]) });
    await clock.advanceAsync(10_000);
    const sinceMs = clock.monotonicMs();
    await clock.advanceAsync(120_000);
    const dialogues = asked.filter(({ what, atMs }) => atMs >= sinceMs && what[0]! >= '5').length;
    assert.ok((dialogues * 100) / 120_000 < 0.21, `${dialogues} dialogues of 100 ms in 120 s`);
    const counts = greedy.map(({ name }) => of(name).length);
    assert.ok(Math.min(...counts) > 0.8 * Math.max(...counts), `they were read ${counts.join()} times`);
    const times = of('probe-1').map(({ monotonicMs }) => monotonicMs);
    assert.ok(times.length >= 129);
    const [status] = fieldbus.status();
    const [south, north] = status!.silos;
    assert.ok(south!.held && south!.busShareMax === 0.2 && south!.busShare < 0.22);
    assert.deepEqual({ held: north!.held, max: north!.busShareMax }, { held: false, max: null });
    assert.ok(status!.devices[0]!.latenessMs > 200);
    assert.deepEqual(told, ['south reached']);
    await fieldbus.stop();
    await clock.advanceAsync(1000);
    assert.equal(clock.timers, 0, 'nothing goes on');
  });

  it('do not hold one that sends by itself', async () => {
    const messages = [{ pattern: '^(?<weight>[+-]\\d+) kg', fields: [{ name: 'weight' }] }];
    const scale = { ...sensor({ messages }, 1000), name: 'scale', silo: 'south' };
    const { clock, of, say, fieldbus } = simulate({
      devices: [scale, probe(5, { everyMs: 200 })],
      busShares: new Map([['south', 0.01]]),
    });
    await clock.advanceAsync(500);
    for (let times = 0; times < 30; times += 1) {
      say('+7 kg\r\n');
      await clock.advanceAsync(1000);
    }
    assert.ok(of('scale').filter(({ values }) => values['weight'] === 7).length >= 29);
    assert.ok(of('probe-5').length < 10);
    await fieldbus.stop();
  });
});

describe('sensors that change on a serial line', () => {
  it('leave the others as they were, and give none of their answers to them', async () => {
    const { clock, of, line, asked, fieldbus } = simulate({ devices: [probe(1), probe(5)] }, 400);
    await clock.advanceAsync(4100);
    const changes = [[], [probe(6)], [probe(5, { everyMs: 700 })], [probe(6), probe(7)], [probe(5)]];
    for (let times = 0; times < 40; times += 1) {
      const others = changes[times % changes.length]!;
      await fieldbus.reconfigure({ buses: [bus], devices: [probe(1), ...others] });
      await clock.advanceAsync(1370);
    }
    for (const address of [1, 5, 6, 7]) {
      const samples = of(`probe-${address}`);
      assert.ok(samples.length > 5);
      for (const { values } of samples) assert.deepEqual(values, { level: address + 0.5 });
    }
    assert.equal(line.openings, 1);
    const times = of('probe-1').map(({ monotonicMs }) => monotonicMs);
    const gaps = times.slice(1).map((time, index) => time - times[index]!);
    assert.ok(Math.max(...gaps) < 2600, `${Math.max(...gaps)} ms between two readings of the one that stays`);
    assert.equal(fieldbus.status()[0]!.devices[0]!.samples, times.length);
    assert.ok(asked.length > 100);
    await fieldbus.stop();
    await clock.advanceAsync(1000);
    assert.equal(clock.timers, 0, 'nothing goes on');
  });

  it('are finished before the line is reopened', async () => {
    const { clock, of, line, asked, fieldbus } = simulate({ devices: [probe(5)] }, 400);
    while (asked.length === 0) await clock.advanceAsync(1);
    const changed = { ...bus, stopBits: 2 as const };
    const done = fieldbus.reconfigure({ buses: [changed], devices: [probe(1)] });
    await clock.advanceAsync(300);
    assert.equal(line.openings, 1);
    await clock.advanceAsync(5000);
    await done;
    assert.equal(line.openings, 2);
    assert.equal(of('probe-5').length, 0);
    assert.ok(of('probe-1').length >= 4);
    assert.ok(of('probe-1').every(({ values }) => values['level'] === 1.5));
    await fieldbus.stop();
  });

  it('to an invalid pattern changes nothing', async () => {
    const { clock, of, line, fieldbus } = simulate({ devices: [probe(1), probe(5)] });
    await clock.advanceAsync(3500);
    const [message] = probe(5).protocol.messages;
    const bad = probe(6);
    const damaged = { ...bad, protocol: { ...bad.protocol, messages: [{ ...message!, pattern: '(' }] } };
    const step = {
      ...bad,
      protocol: { ...bad.protocol, request: [{ ...bad.protocol.request![0]!, expect: '(' }] },
    };
    const other = { ...bus, name: 'other' };
    for (const device of [damaged, step]) {
      const next = { buses: [other], devices: [{ ...device, bus: 'other' }] };
      await assert.rejects(fieldbus.reconfigure(next), { code: 'ProfileInvalid' });
      await assert.rejects(fieldbus.reconfigure({ buses: [bus], devices: [device] }), {
        code: 'ProfileInvalid',
      });
    }
    await clock.advanceAsync(3000);
    assert.equal(line.openings, 1);
    for (const name of ['probe-1', 'probe-5']) {
      assert.ok(of(name).length >= 6);
      assert.equal(
        fieldbus.status()[0]!.devices.find((device) => device.name === name)!.samples,
        of(name).length,
      );
    }
    await fieldbus.stop();
    assert.throws(() => simulate({ devices: [damaged] }), { code: 'ProfileInvalid' });
  });
});
