import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FrameIdentity, SerialDeviceOptions } from '../../../src/fieldbus/options.ts';
import { createRig, sensor } from './rig.ts';

/** A maker's models: one sends `V1 21.5`, the next `V2 70.7` in another unit. */
const identify: FrameIdentity = {
  pattern: '^V1 ',
  others: [
    { pattern: '^V2 ', is: 'a model 2, which counts in Fahrenheit' },
    { pattern: '^V9 ', is: 'a model 9, which sends something else' },
  ],
};
const message = { pattern: '^V[12] (?<t>[\\d.]+) (?<h>\\d+)', fields: [{ name: 't' }, { name: 'h' }] };

function thermometer(request?: string, own: SerialDeviceOptions['identify'] = identify): SerialDeviceOptions {
  const protocol = { ...(request !== undefined && { request }), messages: [message] };
  return { ...sensor(protocol), identify: own };
}

/** A free-running sensor on an open port. */
function listen(own: SerialDeviceOptions['identify'] = identify) {
  const rig = createRig(thermometer(undefined, own));
  rig.reader.opened();
  rig.clock.advance(100);
  const hear = (text: string): void => {
    rig.say(`${text}\r\n`);
    rig.clock.advance(1000);
  };
  return { ...rig, hear, identity: () => rig.reader.status().identity };
}

const both = { t: 'implausible', h: 'implausible' };

describe('a free-running sensor', () => {
  it('is confirmed by its first frame', () => {
    const { reader, samples, hear, identity } = listen();
    assert.deepEqual(identity(), { state: 'unchecked', reason: null });
    hear('V1 21.5 40');
    assert.deepEqual(identity(), { state: 'confirmed', reason: null });
    assert.deepEqual(samples.at(-1)?.values, { t: 21.5, h: 40 });
    assert.equal(samples.at(-1)?.quality, undefined);
    reader.stop();
  });

  it('of another kind has no good value, counted and reported once', () => {
    const { reader, samples, identities, hear, identity } = listen();
    hear('V2 70.7 40');
    hear('V2 70.8 40');
    for (const { values, quality } of samples) {
      assert.equal(values['h'], 40);
      assert.deepEqual(quality, both);
    }
    const reason = 'it is a model 2, which counts in Fahrenheit';
    assert.deepEqual(identity(), { state: 'contradicted', reason });
    const status = reader.status();
    assert.deepEqual([status.state, status.reason, status.failures['implausible']], ['partial', reason, 4]);
    assert.equal(identities.length, 1);
    hear('V1 21.5 40');
    assert.equal(samples.at(-1)?.quality, undefined);
    assert.deepEqual([identity().state, reader.status().state], ['confirmed', 'good']);
    reader.stop();
  });

  it('is checked again after the port was lost, and after it was silent', async () => {
    const { reader, samples, clock, hear, identity } = listen();
    hear('V1 21.5 40');
    hear('V2 70.7 40');
    assert.equal(identity().state, 'confirmed', 'a sensor is not exchanged between two of its frames');
    reader.lost();
    reader.opened();
    clock.advance(100);
    hear('V2 70.7 40');
    assert.deepEqual(samples.at(-1)?.quality, both);
    hear('V1 21.5 40');
    assert.equal(identity().state, 'confirmed');
    await clock.advanceAsync(10_000);
    assert.equal(samples.at(-1)?.quality?.['t'], 'stale');
    hear('V2 70.7 40');
    assert.deepEqual(samples.at(-1)?.quality, both);
    reader.stop();
  });

  it('is another if a frame outside of its messages shows it', () => {
    const { reader, hear, identity } = listen();
    hear('V9 something else');
    assert.deepEqual(identity(), {
      state: 'contradicted',
      reason: 'it is a model 9, which sends something else',
    });
    reader.stop();
  });

  it('is not taken for a neighbour on its line', () => {
    const { reader, samples, hear, identity } = listen();
    hear('V1 21.5 40');
    hear('V9 something else');
    hear('V1 21.6 40');
    assert.equal(identity().state, 'confirmed');
    assert.equal(samples.at(-1)?.quality, undefined);
    reader.lost();
    reader.opened();
    hear('V9 something else');
    hear('V1 21.7 40');
    assert.equal(samples.at(-1)?.quality, undefined);
    reader.stop();
  });

  it('gives good values if the check is disabled, or its frames show nothing', () => {
    for (const [own, state] of [
      ['off', 'off'],
      [{ pattern: '^X', others: [] }, 'unchecked'],
    ] as const) {
      const { reader, samples, hear, identity } = listen(own);
      hear('V2 70.7 40');
      assert.equal(samples.at(-1)?.quality, undefined);
      assert.equal(identity().state, state);
      reader.stop();
    }
  });
});

describe('a polled sensor', () => {
  it('of another kind has no good value', async () => {
    const rig = createRig(thermometer('?'));
    const answers = ['V2 70.7 40\r\n', 'V2 70.8 40\r\n', 'V1 21.5 40\r\n'];
    rig.answerWith(() => answers.shift());
    rig.reader.opened();
    await rig.clock.advanceAsync(1500);
    assert.equal(rig.reader.status().identity.state, 'contradicted');
    assert.equal(rig.reader.status().reason, 'it is a model 2, which counts in Fahrenheit');
    await rig.clock.advanceAsync(1000);
    assert.deepEqual(
      rig.samples.map(({ values, quality }) => [values['t'], quality]),
      [
        [70.7, both],
        [70.8, both],
        [21.5, undefined],
      ],
    );
    rig.reader.stop();
  });
});
