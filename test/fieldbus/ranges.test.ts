import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { socketTiming } from '../../src/fieldbus/modbus/line-timing.ts';
import type { ModbusPointOptions } from '../../src/fieldbus/options.ts';
import { PolledDevice } from '../../src/fieldbus/modbus/polling/polled-device.ts';
import type { Sample } from '../../src/reading/sample.ts';
import type { DeviceStatus } from '../../src/status/status.ts';
import { modbusDevice, registerPoint } from '../support/modbus-options.ts';
import { createRig, sensor } from './serial/rig.ts';

/** One poll of a device whose holding registers begin with these words. */
function pollOnce(
  points: ModbusPointOptions[],
  words: readonly number[],
): { sample: Sample; status: DeviceStatus } {
  const device = new PolledDevice(modbusDevice('d', { bus: 'b', unitId: 1, points }), socketTiming, 1, 0);
  for (let asked = 0; asked < 10; asked += 1) {
    const step = device.next(100, 0, 0);
    if (step.kind === 'tell') return { sample: step.sample, status: device.status(0) };
    const { address, quantity } = step.request;
    const data = Buffer.alloc(2 * quantity);
    for (let index = 0; index < quantity; index += 1)
      data.writeUInt16BE(words[address + index] ?? 0, 2 * index);
    const sample = device.take(step.request, { kind: 'data', data, answerMs: 5 }, 5, 0, 0);
    if (sample !== null) return { sample, status: device.status(0) };
  }
  return assert.fail('the poll has no end');
}

const word = (name: string, address: number, more: Partial<ModbusPointOptions> = {}): ModbusPointOptions =>
  registerPoint(name, { table: 'holding', address, type: 'uint16', ...more });

describe('a register outside of its range', () => {
  const volts = { scale: 0.1, unit: 'V', min: 0, max: 500 };

  it('has its value and is implausible, counted and reported', () => {
    const { sample, status } = pollOnce([word('u1', 0, volts), word('u2', 1, volts)], [2304, 65_535]);
    assert.deepEqual(sample.values, { u1: 230.4, u2: 6553.5 });
    assert.deepEqual(sample.quality, { u2: 'implausible' });
    assert.equal(status.state, 'partial');
    assert.equal(status.failures['implausible'], 1);
    assert.match(status.reason ?? '', /^u2 is 6553\.5 V, not 0 to 500 V/);
  });

  it('leaves nothing behind once it is within again', () => {
    const { sample, status } = pollOnce([word('u1', 0, volts)], [2304]);
    assert.equal(sample.quality, undefined);
    assert.equal(status.state, 'good');
    assert.equal(status.reason, null);
  });

  it('is checked after scaling by another point’s power of ten', () => {
    const points = [
      word('power', 0, { type: 'int16', scaleFrom: 'power_sf', min: -10_000, max: 10_000 }),
      word('power_sf', 1, { type: 'int16', internal: true }),
    ];
    assert.deepEqual(pollOnce(points, [1234, 0]).sample.quality, undefined);
    const { sample } = pollOnce(points, [1234, 3]);
    assert.deepEqual(sample.values, { power: 1_234_000 });
    assert.deepEqual(sample.quality, { power: 'implausible' });
  });

  it('is invalid where a power of ten makes it no number at all', () => {
    const points = [
      word('power', 0, { type: 'int16', scaleFrom: 'power_sf', max: 10_000 }),
      word('power_sf', 1, { type: 'int16', internal: true }),
    ];
    const { sample } = pollOnce(points, [1234, 0x7ffe]);
    assert.deepEqual(sample.values, {});
    assert.deepEqual(sample.quality, { power: 'invalid' });
  });

  it('is compared as a 64-bit integer where it is one', () => {
    const counter = (max: bigint): ModbusPointOptions => word('count', 0, { type: 'uint64', max });
    const words = [0x0020, 0, 0, 1]; // 2^53 + 1
    assert.equal(pollOnce([counter(9007199254740993n)], words).sample.quality, undefined);
    const { sample } = pollOnce([counter(9007199254740992n)], words);
    assert.deepEqual(sample.values, { count: '9007199254740993' });
    assert.deepEqual(sample.quality, { count: 'implausible' });
  });

  it('keeps its own quality if it could not be read or is invalid', () => {
    const { sample } = pollOnce([word('t', 0, { invalid: [0xffff], max: 100 })], [0xffff]);
    assert.deepEqual(sample.values, {});
    assert.deepEqual(sample.quality, { t: 'invalid' });
  });
});

describe('a serial field outside of its range', () => {
  const weight = { name: 'weight', scale: 0.001, unit: 'kg', min: 0, max: 60 };

  it('of a sensor that is asked has its value and is implausible', async () => {
    const rig = createRig(
      sensor({ request: '?', messages: [{ pattern: '^(?<weight>\\d+)', fields: [weight] }] }),
    );
    const answers = ['12500\r\n', '99999\r\n', '12500\r\n'];
    rig.answerWith(() => answers.shift());
    rig.reader.opened();
    await rig.clock.advanceAsync(1500);
    const { state, failures, reason } = rig.reader.status();
    assert.deepEqual([state, failures['implausible']], ['partial', 1]);
    assert.match(reason ?? '', /^weight is 99\.999 kg, not 0 to 60 kg/);
    await rig.clock.advanceAsync(1000);
    assert.deepEqual(
      rig.samples.map(({ values, quality }) => [values['weight'], quality]),
      [
        [12.5, undefined],
        [99.999, { weight: 'implausible' }],
        [12.5, undefined],
      ],
    );
    assert.equal(rig.reader.status().state, 'good');
    rig.reader.stop();
  });

  it('of a sensor that sends by itself too, and only for what is outside', async () => {
    const fields = [weight, { name: 'tare' }];
    const rig = createRig(sensor({ messages: [{ pattern: '^(?<weight>\\d+) (?<tare>\\d+)', fields }] }));
    rig.reader.opened();
    await rig.clock.advanceAsync(100);
    rig.say('99999 7\r\n');
    await rig.clock.advanceAsync(100);
    assert.deepEqual(rig.samples[0]?.values, { weight: 99.999, tare: 7 });
    assert.deepEqual(rig.samples[0]?.quality, { weight: 'implausible' });
    assert.equal(rig.reader.status().state, 'partial');
    rig.say('500 7\r\n');
    assert.equal(rig.reader.status().state, 'good');
    rig.reader.stop();
  });

  it('is replaced as a whole by what a later answer says of the point', async () => {
    const message = { pattern: '^(?<weight>\\d+)', fields: [weight] };
    const rig = createRig(sensor({ request: [{ send: 'a' }, { send: 'b' }], messages: [message] }));
    rig.answerWith((said) => (said === 'a' ? '99999\r\n' : '500\r\n'), 50);
    rig.reader.opened();
    await rig.clock.advanceAsync(900);
    assert.deepEqual(rig.samples[0]?.values, { weight: 0.5 });
    assert.equal(rig.samples[0]?.quality, undefined);
    rig.reader.stop();
  });

  it('is invalid where a scale makes it no number at all', async () => {
    const fields = [{ name: 'x', scale: 1e308 }];
    const rig = createRig(sensor({ messages: [{ pattern: '^(?<x>\\d+)', fields }] }));
    rig.reader.opened();
    await rig.clock.advanceAsync(100);
    rig.say('99999\r\n');
    await rig.clock.advanceAsync(100);
    assert.deepEqual(rig.samples[0]?.values, {});
    assert.deepEqual(rig.samples[0]?.quality, { x: 'invalid' });
    rig.reader.stop();
  });
});
