import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Outcome } from '../../../../src/fieldbus/modbus/modbus-client.ts';
import { socketTiming } from '../../../../src/fieldbus/modbus/line-timing.ts';
import type { ModbusDeviceOptions, ModbusPointOptions } from '../../../../src/fieldbus/options.ts';
import type { PlannedRequest } from '../../../../src/fieldbus/modbus/planning/planner.ts';
import { PolledDevice } from '../../../../src/fieldbus/modbus/polling/polled-device.ts';
import type { Sample } from '../../../../src/reading/sample.ts';
import { modbusDevice, registerPoint } from '../../../support/modbus-options.ts';

type Answer = (request: PlannedRequest) => Outcome;

/** Registers that hold their own address. */
function data({ address, quantity }: PlannedRequest): Outcome {
  const bytes = Buffer.alloc(quantity * 2);
  for (let index = 0; index < quantity; index += 1) bytes.writeUInt16BE(address + index, index * 2);
  return { kind: 'data', data: bytes, answerMs: 5 };
}

const exception = (exceptionCode: number): Outcome => ({ kind: 'exception', exceptionCode, answerMs: 5 });
const timeout: Outcome = { kind: 'fault', fault: 'timeout' };

function touches(request: PlannedRequest, address: number): boolean {
  return address >= request.address && address < request.address + request.quantity;
}

/** A device polled by hand, whose every request is answered by `answer`. */
function poller(points: ModbusPointOptions[], answer: Answer, options: Partial<ModbusDeviceOptions> = {}) {
  let now = 1_000_000;
  const device = new PolledDevice(
    modbusDevice('d', { bus: 'b', unitId: 1, points, ...options }),
    socketTiming,
    1,
    now,
  );
  const asked: PlannedRequest[] = [];
  /** Sends requests until the next poll has its sample. */
  const poll = (): Sample => {
    for (let steps = 0; steps < 500; steps += 1) {
      const candidate = device.candidate(100)!;
      now = Math.max(now, candidate.readyAtMs);
      const step = device.next(100, now, now);
      if (step.kind === 'tell') return step.sample;
      asked.push(step.request);
      now += 5;
      const sample = device.take(step.request, answer(step.request), 5, now, now);
      if (sample) return sample;
    }
    throw new Error('the poll has no end');
  };
  /** Acts as the bus for a time: asks when due, and reports the due points of a dead device. */
  const run = (ms: number): Sample[] => {
    const untilMs = now + ms;
    const samples: Sample[] = [];
    for (let steps = 0; steps < 10_000; steps += 1) {
      const told = device.isDead ? device.offlineSample(null, now, now) : null;
      if (told) samples.push(told);
      const candidate = device.candidate(100)!;
      const nextMs = Math.min(candidate.readyAtMs, device.isDead ? device.reportAtMs : Infinity);
      if (nextMs > untilMs) break;
      now = Math.max(now, nextMs);
      if (candidate.readyAtMs > now) continue;
      const step = device.next(100, now, now);
      if (step.kind === 'tell') {
        samples.push(step.sample);
        continue;
      }
      asked.push(step.request);
      now += 5;
      const sample = device.take(step.request, answer(step.request), 5, now, now);
      if (sample) samples.push(sample);
    }
    now = untilMs;
    return samples;
  };
  const pass = (ms: number): number => (now += ms);
  return { device, asked, poll, run, pass, status: () => device.status(now) };
}

const word = (address: number, more: Partial<ModbusPointOptions> = {}): ModbusPointOptions =>
  registerPoint(`p${address}`, { table: 'holding', address, type: 'uint16', ...more });

describe('a device that refuses', () => {
  it('a gap loses no point of any later poll', () => {
    const points = [
      word(0),
      word(10),
      word(300),
      registerPoint('in', { table: 'input', address: 5, type: 'uint16' }),
    ];
    const { poll, asked } = poller(points, (request) =>
      request.table === 'holding' && touches(request, 5) ? exception(2) : data(request),
    );
    const whole = { p0: 0, p10: 10, p300: 300, in: 5 };
    assert.deepEqual(poll().values, whole);
    for (let polls = 0; polls < 3; polls += 1) {
      asked.length = 0;
      assert.deepEqual(poll().values, whole);
      assert.equal(asked.length, 4);
    }
  });

  it('a register by exception 2, 3 or, time and again, 4 keeps the others', () => {
    for (const code of [2, 3, 4]) {
      const points = [0, 1, 2, 3, 4, 5, 6, 7].map((address) => word(address));
      const { poll, asked } = poller(points, (request) =>
        touches(request, 5) ? exception(code) : data(request),
      );
      let last = poll();
      for (let polls = 0; polls < 20; polls += 1) last = poll();
      asked.length = 0;
      last = poll();
      assert.deepEqual(last.quality, { p5: `exception:${code}` });
      assert.equal(Object.keys(last.values).length, 7);
      assert.ok(!asked.some((request) => touches(request, 5)));
    }
  });

  it('a whole table by exception 1 is not asked for it again', () => {
    const points = [word(0), registerPoint('coil', { table: 'coil', address: 3, type: 'bool' })];
    const { poll, asked } = poller(points, (request) =>
      request.table === 'coil' ? exception(1) : data(request),
    );
    poll();
    asked.length = 0;
    assert.deepEqual(poll().quality, { coil: 'exception:1' });
    assert.deepEqual(
      asked.map(({ table }) => table),
      ['holding'],
    );
  });

  it('everything is reported, asked again within 15 s, and read as soon as it answers', () => {
    for (const code of [1, 2, 3]) {
      let isThere = false;
      const { device, asked, run } = poller([word(0)], (request) =>
        isThere ? data(request) : exception(code),
      );
      const absent = run(60_000);
      assert.ok(absent.length >= 59, `${absent.length} samples in a minute`);
      for (const { quality } of absent) assert.deepEqual(quality, { p0: `exception:${code}` });
      assert.ok(asked.length >= 6 && asked.length <= 12, `asked ${asked.length} times`);
      assert.equal(device.status(0).state, 'failing');
      isThere = true;
      assert.deepEqual(run(15_000).at(-1)?.values, { p0: 0 });
      assert.equal(device.status(0).state, 'good');
    }
  });

  it('by silence, while it answers all else, loses that alone', () => {
    const points = [0, 1, 2, 3].map((index) => word(index * 200));
    const { poll, asked, status } = poller(points, (request) =>
      touches(request, 200) ? timeout : data(request),
    );
    for (let polls = 0; polls < 10; polls += 1) poll();
    asked.length = 0;
    const sample = poll();
    assert.deepEqual(sample.values, { p0: 0, p400: 400, p600: 600 });
    assert.deepEqual(sample.quality, { p200: 'timeout' });
    assert.ok(!asked.some((request) => touches(request, 200)));
    assert.equal(status().failures.timeout, 3);
    assert.equal(status().state, 'partial');
  });

  it('by silence throughout is dead after two polls, asked with pauses, and back with its first answer', () => {
    let alive = false;
    const { device, poll, asked, pass } = poller([word(0)], (request) => (alive ? data(request) : timeout));
    assert.deepEqual(poll().quality, { p0: 'timeout' });
    assert.ok(!device.isDead);
    assert.deepEqual(poll().quality, { p0: 'timeout' });
    assert.ok(device.isDead);
    assert.equal(device.status(0).state, 'offline');
    assert.equal(device.candidate(100)!.readyAtMs, pass(0) + 1000);
    assert.deepEqual(device.offlineSample(null, pass(1000), 0)?.quality, { p0: 'offline' });
    alive = true;
    const count = asked.length;
    assert.deepEqual(poll().values, { p0: 0 });
    assert.equal(asked.length, count + 1);
    assert.equal(device.status(0).state, 'good');
  });
});

describe('a device that is away behind exceptions', () => {
  const fourPoints = (): ModbusPointOptions[] => [0, 1, 300, 301].map((address) => word(address));

  it('of any code for half a minute gives values within 15 s of its return', () => {
    for (let code = 0; code <= 255; code += 1) {
      let isAway = false;
      const { run } = poller(fourPoints(), (request) => (isAway ? exception(code) : data(request)));
      assert.ok(run(8000).every(({ quality }) => quality === undefined));
      isAway = true;
      const away = run(25_000);
      assert.ok(away.length >= 24);
      for (const { quality } of away) {
        assert.deepEqual(new Set(Object.values(quality ?? {})), new Set([`exception:${code}`]));
      }
      isAway = false;
      run(15_000);
      for (const { values } of run(60_000)) assert.deepEqual(values, { p0: 0, p1: 1, p300: 300, p301: 301 });
    }
  });

  it('of which one register is bad as well keeps all others, and the bad one is left alone', () => {
    for (const code of [1, 2, 3, 4, 6, 11]) {
      let isAway = true;
      const { run, asked } = poller(fourPoints(), (request) =>
        isAway || touches(request, 301) ? exception(code) : data(request),
      );
      run(30_000);
      isAway = false;
      run(40_000);
      asked.length = 0;
      for (const { values } of run(300_000)) assert.deepEqual(values, { p0: 0, p1: 1, p300: 300 });
      const tries = asked.filter((request) => touches(request, 301)).length;
      const isProven = code <= 3;
      assert.ok(isProven ? tries === 0 : tries > 0 && tries <= 30, `exception ${code}: ${tries} tries`);
    }
  });

  it('of which only one register of many is good finds that one', () => {
    const points = Array.from({ length: 20 }, (_, index) => word(index));
    for (const code of [1, 2, 3, 4, 8]) {
      const { run } = poller(points, (request) =>
        request.address === 13 && request.quantity === 1 ? data(request) : exception(code),
      );
      run(300_000);
      assert.deepEqual(run(1000).at(-1)?.values, { p13: 13 }, `exception ${code}`);
    }
  });

  it('with failing points due more often than good ones is not taken for dead', () => {
    const rare = { everyMs: 60_000 };
    let isBad = false;
    const { run } = poller([word(0), word(300, rare)], (request) =>
      isBad && touches(request, 0) ? exception(2) : data(request),
    );
    run(5000);
    isBad = true;
    run(60_000);
    const samples = run(600_000);
    assert.ok(samples.filter(({ values }) => values.p300 === 300).length >= 9);
    assert.ok(samples.every(({ quality }) => quality?.p0 === 'exception:2'));
  });

  it('forgets what was refused before it was away', () => {
    let bad = 1;
    let isAway = false;
    const { run } = poller(fourPoints(), (request) =>
      isAway ? timeout : touches(request, bad) ? exception(2) : data(request),
    );
    run(5000);
    isAway = true;
    run(10_000);
    [bad, isAway] = [300, false];
    run(15_000);
    assert.deepEqual(run(5000).at(-1)?.values, { p0: 0, p1: 1, p301: 301 });
  });

  it('silent for absent registers, with a single request for all points, still gives its values', () => {
    const points = [0, 1, 2, 3, 4, 5, 6, 7].map((address) => word(address));
    const { run } = poller(points, (request) => (touches(request, 5) ? timeout : data(request)));
    run(120_000);
    const last = run(1000).at(-1);
    assert.equal(Object.keys(last?.values ?? {}).length, 7);
    assert.deepEqual(last?.quality, { p5: 'timeout' });
  });

  it('is named by the words of Modbus V1.1b3 §7, with what to do', () => {
    const { run, status } = poller(fourPoints(), () => exception(11));
    run(2000);
    assert.match(
      status().reason!,
      /^exception 11 \(gateway target device failed to respond\) for .*; .*power/,
    );
    assert.equal(status().state, 'offline');
  });
});

describe('a factor from another register', () => {
  const scaled = (everyMs = 1000): ModbusPointOptions[] => [
    word(0, { name: 'power', scaleFrom: 'sf' }),
    registerPoint('sf', { table: 'holding', address: 1, type: 'int16', everyMs, invalid: ['int-min'] }),
  ];
  const registers = (values: number[]): Answer => {
    return ({ address, quantity }) => {
      const bytes = Buffer.alloc(quantity * 2);
      for (let index = 0; index < quantity; index += 1)
        bytes.writeInt16BE(values[address + index]!, index * 2);
      return { kind: 'data', data: bytes, answerMs: 5 };
    };
  };

  it('scales by its power of ten, read in the same poll or long before', () => {
    const { poll } = poller(scaled(60_000), registers([2304, -1]));
    assert.deepEqual(poll().values, { power: 230.4, sf: -1 });
    assert.deepEqual(poll().values, { power: 230.4 });
  });

  it('that is invalid, or was never read, leaves no value', () => {
    assert.deepEqual(poller(scaled(), registers([2304, -32768])).poll().quality, {
      power: 'invalid',
      sf: 'invalid',
    });
    const refusing: Answer = (request) => (touches(request, 1) ? exception(2) : registers([2304])(request));
    assert.deepEqual(poller(scaled(), refusing).poll().quality, { power: 'invalid', sf: 'exception:2' });
  });

  it('is not given out where it is internal', () => {
    const [power, sf] = scaled();
    assert.deepEqual(poller([power!, { ...sf!, internal: true }], registers([5, 2])).poll().values, {
      power: 500,
    });
  });
});

describe('the time of a device', () => {
  it('that was missed is not made up for, and counts as late', () => {
    const { device, poll, pass, status } = poller([word(0)], data);
    poll();
    const due = device.dueAtMs;
    pass(3500);
    poll();
    assert.equal(device.dueAtMs, due + 3000);
    assert.equal(status().latenessMs, 2505);
  });

  it('between two requests is what its limits say', () => {
    const limits = { registersMax: 125, bitsMax: 2000, gapMax: 0, requestGapMs: 40 };
    const { device, pass } = poller([word(0), word(10)], data, { limits });
    const now = pass(0);
    const step = device.next(100, now, now);
    assert.equal(step.kind, 'ask');
    device.take(step.request, data(step.request), 5, now + 5, now + 5);
    assert.equal(device.candidate(100)!.readyAtMs, now + 45);
  });

  it('without points has no candidate', () => {
    const device = new PolledDevice(
      modbusDevice('d', { bus: 'b', unitId: 1, points: [] }),
      socketTiming,
      1,
      0,
    );
    assert.equal(device.candidate(100)!.readyAtMs, Infinity);
    assert.equal(device.offlineSample(null, 1e9, 0), null);
  });
});
