import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SerialDeviceOptions } from '../../../src/fieldbus/options.ts';
import { sdi12, sdi12Bus, simulateSdi12 } from '../../support/sdi-12-line.ts';

const neighbour = (everyMs: number): SerialDeviceOptions => sdi12('1', everyMs, { silo: 'south' });
const minutes = 60_000;

describe('a sensor that announces a longer measurement than is allowed', () => {
  for (const seconds of [61, 120, 999]) {
    it(`of ${seconds} s does not delay its neighbour by one reading, and is reported`, async () => {
      const { clock, line, valuesOf, widestGapMs, status, end } = simulateSdi12(
        { seconds, takesSeconds: Infinity, values: '+9.9' },
        [sdi12('0', 1000), neighbour(1000)],
      );
      await clock.advanceAsync(10 * minutes);
      assert.ok(
        line.asked.filter(({ what }) => what === '0M!').length > 50,
        'it announces it again and again',
      );
      assert.ok(valuesOf('sensor-1').length >= 540, `${valuesOf('sensor-1').length} readings`);
      assert.ok(widestGapMs('sensor-1') < 3500, `${widestGapMs('sensor-1')} ms without one`);
      const { state, reason } = status('sensor-0');
      assert.equal(state, 'failing');
      assert.match(
        reason!,
        new RegExp(`announces a measurement of ${seconds} s, and the limit is 60 s; .*measureMax`),
      );
      await end();
    });
  }

  it('is waited for if its device allows it', async () => {
    const { clock, valuesOf, end } = simulateSdi12({ seconds: 120, takesSeconds: 119, values: '+9.9' }, [
      sdi12('0', 1000, { measureMaxMs: 120_000 }),
    ]);
    await clock.advanceAsync(4.5 * minutes);
    assert.equal(valuesOf('sensor-0').length, 2);
    await end();
  });

  it('takes no bound from an invalid number', async () => {
    for (const word of ['1e9', '99999999', 'Infinity', '-5', '']) {
      const device = sdi12('0', 1000);
      const [start, ...rest] = device.protocol.request!;
      const said = `^0(?<seconds>[-+\\w]*)\\r?$`;
      const { clock, line, valuesOf, end } = simulateSdi12(
        { seconds: 0, takesSeconds: Infinity, values: '' },
        [
          { ...device, protocol: { ...device.protocol, request: [{ ...start!, expect: said }, ...rest] } },
          neighbour(1000),
        ],
      );
      line.sensors.get('0')!.seconds = word as unknown as number;
      await clock.advanceAsync(minutes);
      assert.ok(
        valuesOf('sensor-1').length >= 48,
        `${valuesOf('sensor-1').length} readings beside "${word}"`,
      );
      await end();
    }
  });
});

describe('while a sensor measures', () => {
  it('concurrently (aC!), its neighbour is read in its interval', async () => {
    const { clock, valuesOf, widestGapMs, end } = simulateSdi12(
      { seconds: 30, takesSeconds: 30, values: '+9.9' },
      [sdi12('0', minutes, { measure: 'C' }), neighbour(5000)],
    );
    await clock.advanceAsync(10 * minutes);
    assert.equal(valuesOf('sensor-0').length, 10);
    assert.equal(valuesOf('sensor-1').length, 120);
    assert.ok(widestGapMs('sensor-1') <= 5500, `${widestGapMs('sensor-1')} ms`);
    await end();
  });

  it('behind an adapter without breaks, its neighbour is read in its interval by aM! as well', async () => {
    const { clock, valuesOf, end } = simulateSdi12(
      { seconds: 30, takesSeconds: 20, values: '+9.9' },
      [sdi12('0', minutes), neighbour(5000)],
      { breaks: false },
    );
    await clock.advanceAsync(10 * minutes);
    assert.equal(valuesOf('sensor-0').length, 10);
    assert.equal(valuesOf('sensor-1').length, 120);
    await end();
  });

  it('and a break ends that, it has exclusive use of the line next time, and its neighbour for as long afterwards', async () => {
    const { clock, valuesOf, widestGapMs, status, end } = simulateSdi12(
      { seconds: 30, takesSeconds: 30, values: '+9.9' },
      [sdi12('0', minutes), neighbour(5000)],
    );
    await clock.advanceAsync(50_000);
    assert.match(status('sensor-0').reason!, /ended without values while others had the line; .*measure: C/);
    await clock.advanceAsync(20 * minutes);
    assert.ok(valuesOf('sensor-0').length >= 17, `${valuesOf('sensor-0').length} readings of the slow one`);
    assert.ok(valuesOf('sensor-1').length >= 130, `${valuesOf('sensor-1').length} readings of its neighbour`);
    assert.ok(widestGapMs('sensor-1') <= 36_000, `${widestGapMs('sensor-1')} ms`);
    await end();
  });

  it('for the allowed time without a value, its neighbour has at least half of the line', async () => {
    const { clock, valuesOf, widestGapMs, end } = simulateSdi12(
      { seconds: 60, takesSeconds: Infinity, values: '+9.9' },
      [sdi12('0', 1000), neighbour(1000)],
    );
    await clock.advanceAsync(20 * minutes);
    assert.ok(valuesOf('sensor-1').length >= 600, `${valuesOf('sensor-1').length} of 1,200 readings`);
    assert.ok(widestGapMs('sensor-1') <= 62_000, `${widestGapMs('sensor-1')} ms`);
    await end();
  });

  it('its state is shown, and its time is charged as it passes', async () => {
    const { clock, fieldbus, status, told, end } = simulateSdi12(
      { seconds: 50, takesSeconds: 50, values: '+9.9' },
      [sdi12('0', minutes), neighbour(5000)],
      { breaks: false, busShares: new Map([['north', 0.3]]) },
    );
    await clock.advanceAsync(30_000);
    const { state, reason, busShare } = status('sensor-0');
    assert.equal(state, 'measuring');
    assert.match(reason!, /as announced for 50 s, since 30 s/);
    assert.ok(busShare > 0.9, `${busShare}`);
    const [{ load, silos }] = fieldbus.status() as [ReturnType<typeof fieldbus.status>[0]];
    assert.ok(load > 0.9 && load <= 1, `the line is ${load} busy`);
    const [north, south] = silos;
    assert.ok(north!.busShare > 0.9 && south!.busShare < 0.1, `${north!.busShare}, ${south!.busShare}`);
    assert.deepEqual(told, []);
    await clock.advanceAsync(60_000);
    assert.deepEqual(told, ['north reached'], 'its share counts what it waited');
    assert.ok(fieldbus.status()[0]!.silos[0]!.held);
    assert.equal(status('sensor-0').state, 'good');
    await end();
  });

  it('beside another that does, no moment is charged twice', async () => {
    const slow = { seconds: 50, takesSeconds: 50, values: '+9.9' };
    const { clock, fieldbus, line, end } = simulateSdi12(slow, [
      sdi12('0', minutes, { measure: 'C' }),
      sdi12('1', minutes, { measure: 'C', silo: 'south' }),
    ]);
    line.sensors.set('1', slow);
    await clock.advanceAsync(40_000);
    const [{ load, silos }] = fieldbus.status() as [ReturnType<typeof fieldbus.status>[0]];
    for (const { busShare } of silos) assert.ok(Math.abs(busShare - 0.5) < 0.05, `${busShare}`);
    assert.ok(load <= 1);
    await end();
  });

  for (const [how, measure, breaks] of [
    ['with the line free', 'C', true],
    ['with the line to itself', 'M', true],
  ] as const) {
    it(`${how}, a stop and a change of the configuration do not wait for it`, async () => {
      const devices = [sdi12('0', minutes, { measure }), neighbour(5000)];
      const { clock, fieldbus, line, valuesOf, end } = simulateSdi12(
        { seconds: 55, takesSeconds: 55, values: '+9.9' },
        devices,
        { breaks },
      );
      // The second measurement of a sensor that needs the line has exclusive use.
      await clock.advanceAsync(80_000);
      const { atMs } = line.asked.findLast(({ what }) => what[0] === '0')!;
      assert.ok(clock.monotonicMs() - atMs > 15_000, 'it is measuring');
      const before = valuesOf('sensor-1').length;
      await fieldbus.reconfigure({ buses: [sdi12Bus], devices: [devices[1]!, sdi12('2', minutes)] });
      await clock.advanceAsync(6000);
      assert.ok(valuesOf('sensor-1').length > before, 'the neighbour goes on');
      assert.ok(
        line.asked.some(({ what }) => what === '2M!'),
        'the new one is asked',
      );
      await fieldbus.reconfigure({ buses: [sdi12Bus], devices });
      await clock.advanceAsync(3000);
      let stopped = false;
      void fieldbus.stop().then(() => (stopped = true));
      await clock.advanceAsync(100);
      assert.ok(stopped);
      await end();
    });
  }
});
