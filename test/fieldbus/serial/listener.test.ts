import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sentence } from '../../../src/simulator/nmea-sensor.ts';
import { createRig, sensor } from './rig.ts';

const scale = {
  messages: [{ pattern: '^(?<weight>[+-]\\d+\\.\\d+) kg', fields: [{ name: 'weight', unit: 'kg' }] }],
};
const weather = {
  checksum: 'nmea-0183',
  messages: [
    {
      pattern: '^\\$..MWV,',
      validWhen: ',A$',
      separator: ',',
      fields: [{ name: 'wind', column: 3 }],
    },
    { pattern: '^\\$..MTA,', separator: ',', fields: [{ name: 'air', column: 1, optional: true }] },
  ],
};

describe('a free-running sensor', () => {
  it('becomes samples, stamped with their arrival', () => {
    const { clock, reader, samples, say } = createRig(sensor(scale));
    reader.opened();
    clock.advance(500);
    say('+0012.5 k');
    clock.advance(10);
    say('g\r\n');
    const stamp = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
    assert.deepEqual(samples, [{ device: 'sensor', ...stamp, values: { weight: 12.5 } }]);
  });

  it('does not take the rest of a line for a line', () => {
    const loose = { messages: [{ pattern: '^(?<weight>\\d+\\.\\d+) kg', fields: [{ name: 'weight' }] }] };
    const { clock, reader, samples, say } = createRig(sensor(loose));
    reader.opened();
    clock.advance(5);
    say('2.5 kg\r\n');
    clock.advance(200);
    say('0012.5 kg\r\n');
    assert.deepEqual(
      samples.map(({ values }) => values),
      [{ weight: 12.5 }],
    );
    reader.lost();
    reader.opened();
    say('0.5 kg\r\n');
    clock.advance(2000);
    assert.equal(
      samples.some(({ values }) => values['weight'] === 0.5),
      false,
    );
  });

  it('is reduced to one sample an interval, the latest value each', () => {
    const { clock, reader, samples, say } = createRig(sensor(scale, 1000));
    reader.opened();
    clock.advance(500);
    for (let tenth = 0; tenth < 50; tenth++) {
      say(`+${String(tenth)}.0 kg\r\n`);
      clock.advance(100);
    }
    assert.deepEqual(
      samples.map(({ values }) => values['weight']),
      [0, 9, 19, 29, 39, 49],
    );
    assert.equal(reader.status().samples, 6);
  });

  it('gives one sample for a burst of several messages', () => {
    const { clock, reader, samples, say } = createRig(sensor(weather, 1000));
    reader.opened();
    for (let second = 0; second < 3; second++) {
      clock.advance(900);
      say(sentence(`WIMWV,214.8,R,${second}.5,M,A`));
      clock.advance(30);
      say(sentence(`WIMTA,1${second}.0,C`));
      clock.advance(70);
    }
    assert.deepEqual(
      samples.map(({ values }) => values),
      [
        { wind: 0.5, air: 10 },
        { wind: 1.5, air: 11 },
        { wind: 2.5, air: 12 },
      ],
    );
  });

  it('never makes a value of a damaged frame', () => {
    const { clock, reader, samples, say } = createRig(sensor(weather, 1000));
    reader.opened();
    clock.advance(500);
    say(sentence('WIMWV,214.8,R,4.5,M,A').replace('4.5', '9.5'));
    clock.advance(1100);
    assert.deepEqual(
      samples.map(({ values, quality }) => ({ values, quality })),
      [{ values: {}, quality: { wind: 'crc' } }],
    );
    assert.equal(reader.status().failures['crc'], 1);
    assert.equal(reader.status().state, 'failing');
  });

  for (const order of [
    [4.5, 9.5],
    [9.5, 4.5],
  ]) {
    it(`prefers a sound frame to a damaged one of the same interval, ${order[0] === 4.5 ? 'before' : 'after'} it`, () => {
      const { clock, reader, samples, say } = createRig(sensor(weather, 1000));
      reader.opened();
      clock.advance(500);
      const sound = sentence('WIMWV,214.8,R,4.5,M,A');
      for (const speed of order) say(sound.replace('4.5', String(speed)));
      clock.advance(100);
      assert.deepEqual(
        samples.map(({ values, quality }) => ({ values, quality })),
        [{ values: { wind: 4.5 }, quality: undefined }],
      );
    });
  }

  it('marks values that the sensor itself calls invalid', () => {
    const { clock, reader, samples, say } = createRig(sensor(weather, 1000));
    reader.opened();
    clock.advance(500);
    say(sentence('WIMWV,214.8,R,4.5,M,V'));
    clock.advance(100);
    assert.deepEqual(samples[0]?.quality, { wind: 'invalid' });
    assert.equal(reader.status().state, 'partial');
  });

  it('is stale after twice its interval of silence, and reported ever more rarely', () => {
    const { clock, reader, samples, say } = createRig(sensor(weather, 1000));
    reader.opened();
    clock.advance(900);
    say(sentence('WIMWV,214.8,R,4.5,M,A'));
    clock.advance(2000);
    assert.equal(samples.length, 1);
    clock.advance(1500);
    assert.deepEqual(samples[1]?.quality, { wind: 'stale' }, 'a point that never came is not missed');
    assert.equal(reader.status().state, 'failing');
    clock.advance(3_600_000);
    assert.ok(samples.length < 75, `${samples.length} samples in an hour of silence`);
    say(sentence('WIMWV,214.8,R,5.5,M,A'));
    clock.advance(100);
    assert.deepEqual(samples.at(-1)?.values, { wind: 5.5 });
    assert.equal(reader.status().state, 'good');
  });

  it('owes every point until the first frame', () => {
    const { clock, reader, samples } = createRig(sensor(weather, 1000));
    reader.opened();
    clock.advance(2500);
    assert.deepEqual(samples[0]?.quality, { wind: 'stale', air: 'stale' });
  });

  it('does not call a slow message stale at the pace of the fast ones', () => {
    const [wind, air] = weather.messages;
    const slow = { ...weather, messages: [wind, { ...air, every: '10s' }] };
    const { clock, reader, samples, say } = createRig(sensor(slow, 1000));
    reader.opened();
    for (let second = 0; second < 30; second++) {
      say(sentence('WIMWV,214.8,R,4.5,M,A'));
      if (second === 2) say(sentence('WIMTA,12.0,C'));
      clock.advance(1000);
    }
    const stale = samples.findIndex(({ quality }) => quality?.['air'] === 'stale');
    assert.ok(stale > 0);
    assert.ok(samples[stale]!.monotonicMs - samples[0]!.monotonicMs >= 20_000);
  });

  it('is offline while its port is gone', () => {
    const { clock, reader, samples, say } = createRig(sensor(scale, 1000));
    reader.opened();
    clock.advance(500);
    say('+1.0 kg\r\n');
    clock.advance(100);
    say('+2.0 kg\r\n');
    reader.lost();
    assert.deepEqual(samples[1]?.values, { weight: 2 }, 'what was read before counts');
    assert.deepEqual(samples[2]?.quality, { weight: 'offline' });
    assert.equal(reader.status().state, 'offline');
    clock.advance(60_000);
    assert.ok(samples.length < 12);
    reader.opened();
    clock.advance(500);
    say('+3.0 kg\r\n');
    assert.deepEqual(samples.at(-1)?.values, { weight: 3 });
  });

  it('counts frames that match no message, and keeps its values', () => {
    const { clock, reader, samples, say } = createRig(sensor(scale, 1000));
    reader.opened();
    clock.advance(500);
    say('READY\r\n+1.0 kg\r\n');
    assert.equal(reader.status().failures['unknown'], 1);
    assert.equal(reader.status().state, 'good');
    assert.equal(samples.length, 1);
  });

  it('counts noise', () => {
    const dust = {
      framing: { by: 'fixed-length', start: 'AB', length: 3 },
      messages: [{ fields: [{ name: 'x', at: 2, type: 'uint8' }] }],
    };
    const { clock, reader, samples, say } = createRig(sensor(dust));
    reader.opened();
    clock.advance(500);
    say('zzzAB');
    say('\x07');
    assert.deepEqual(samples[0]?.values, { x: 7 });
    assert.deepEqual(reader.status().failures, { noise: 1 });
    assert.equal(reader.status().state, 'good');
  });

  it('takes a frame that ends by silence', () => {
    const framing = { by: 'silence', silence: '20ms' };
    const { clock, reader, samples, say } = createRig(
      sensor({ framing, messages: [{ fields: [{ name: 'x', at: 0, type: 'uint16' }] }] }),
    );
    reader.opened();
    clock.advance(500);
    say('\x01');
    clock.advance(10);
    say('\x02');
    assert.equal(samples.length, 0);
    clock.advance(20);
    assert.deepEqual(samples[0]?.values, { x: 258 });
  });

  it('leaves no timer behind', () => {
    const { clock, reader, say } = createRig(sensor(weather, 1000));
    reader.opened();
    say(sentence('WIMWV,214.8,R,4.5,M,A'));
    reader.stop();
    assert.equal(clock.timers, 0);
  });
});
