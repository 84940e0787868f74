import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Meter } from '../../src/simulator/meter.ts';

const noonMs = Date.UTC(2026, 10, 22, 12);

function startMeter(): { clock: { now: number; wallMs(): number }; read: (address: number) => number } {
  const clock = { now: noonMs, wallMs: () => clock.now };
  const meter = new Meter({ seed: 1, peakW: 12_000, importKwh: 900 }, clock);
  const read = (address: number): number => {
    const answer = meter.answer(Buffer.of(4, address >> 8, address & 0xff, 0, 2));
    assert.equal(answer[1], 4);
    return answer.readFloatBE(2);
  };
  return { clock, read };
}

describe('simulated meter', () => {
  it('counts the energy that its power comes to', () => {
    const { clock, read } = startMeter();
    const before = read(0x48);
    let wattSeconds = 0;
    for (let second = 0; second < 3600; second += 1) {
      clock.now += 1000;
      wattSeconds += read(0x34);
    }
    const counted = read(0x48) - before;
    assert.ok(
      Math.abs(counted - wattSeconds / 3.6e6) < 0.01,
      `${counted} kWh, ${wattSeconds / 3.6e6} expected`,
    );
    assert.equal(read(0x156), read(0x48));
  });

  it('keeps its values plausible and consistent over a day', () => {
    const { clock, read } = startMeter();
    const loads: number[] = [];
    for (let quarter = 0; quarter < 96; quarter += 1) {
      clock.now += 900_000;
      for (const phase of [0, 2, 4]) assert.ok(Math.abs(read(phase) - 230) < 10, `${read(phase)} V`);
      const phases = read(0x0c) + read(0x0e) + read(0x10);
      assert.ok(Math.abs(phases - read(0x34)) < 1, `${phases} W is not ${read(0x34)} W`);
      assert.ok(Math.abs(read(0x00) * read(0x06) - read(0x12)) < 1, 'VA is V times A');
      assert.ok(read(0x1e) > 0.85 && read(0x1e) <= 1, `power factor ${read(0x1e)}`);
      assert.ok(Math.abs(read(0x46) - 50) < 0.1, `${read(0x46)} Hz`);
      loads.push(read(0x34));
    }
    assert.ok(Math.max(...loads) > 2 * Math.min(...loads), 'the day has a shape');
  });
});
