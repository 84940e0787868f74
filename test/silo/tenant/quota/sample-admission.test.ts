import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Sample } from '../../../../src/reading/sample.ts';
import { Admission } from '../../../../src/silo/tenant/quota/sample-admission.ts';
import { RateMeter } from '../../../../src/silo/tenant/quota/rate-meter.ts';

function samplesOf(device: string, count: number): Sample[] {
  return Array.from({ length: count }, (_, index) => ({
    device,
    wallMs: index,
    monotonicMs: index,
    values: {},
  }));
}

describe('rate meter', () => {
  it('shows a mean over up to ten seconds', () => {
    const meter = new RateMeter();
    assert.equal(meter.perSecond, 0);
    meter.count(4);
    meter.count(6);
    meter.turn();
    assert.equal(meter.perSecond, 10);
    for (let second = 0; second < 9; second += 1) meter.turn();
    assert.equal(meter.perSecond, 1);
    meter.turn();
    assert.equal(meter.perSecond, 0);
  });
});

describe('admission', () => {
  it('admits everything without a quota', () => {
    const samples = samplesOf('a', 1000);
    assert.deepEqual(new Admission(undefined, 0).sort(samples, 1, 0), { admitted: samples, refused: [] });
  });

  it('admits samples up to the rate, and gives the reason for the others', () => {
    const samples = samplesOf('a', 30);
    const { admitted, refused } = new Admission(10, 0).sort(samples, 1, 0);
    assert.deepEqual(admitted, samples.slice(0, 10));
    assert.deepEqual(refused, [{ reason: 'quota', samples: samples.slice(10) }]);
  });

  it('thins each device separately, so that a flood from one silences no other', () => {
    const admission = new Admission(undefined, 0);
    const passed: Record<string, number> = { flood: 0, meter: 0 };
    for (let second = 0; second < 1000; second += 1) {
      const samples = [...samplesOf('flood', 50), ...samplesOf('meter', 1)];
      for (const { device } of admission.sort(samples, 0.1, second).admitted) passed[device]! += 1;
    }
    assert.ok(Math.abs(passed['flood']! - 5000) <= 1 && Math.abs(passed['meter']! - 100) <= 1);
  });

  it('does not count thinned samples against the rate', () => {
    const samples = samplesOf('a', 40);
    const { admitted, refused } = new Admission(10, 0).sort(samples, 0.5, 0);
    assert.equal(admitted.length, 10);
    assert.deepEqual(
      refused.map(({ reason, samples: dropped }) => [reason, dropped.length]),
      [
        ['cpu-quota', 20],
        ['quota', 10],
      ],
    );
  });
});
