import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReportThrottle } from '../../../src/silo/tenant/report-throttle.ts';

const dayTicks = 86_400;

/** Seconds at which something was told. */
function toldAt(ticks: number, hasNews: (tick: number) => boolean): number[] {
  const throttle = new ReportThrottle();
  return Array.from({ length: ticks }, (_, index) => index + 1).filter((tick) =>
    throttle.isDue(hasNews(tick)),
  );
}

describe('losses', () => {
  it('are reported within ten seconds at first, and once a minute while they last', () => {
    const told = toldAt(dayTicks, () => true);
    assert.deepEqual(told.slice(0, 6), [10, 30, 70, 130, 190, 250]);
    assert.ok(told.length < 1450, `${told.length} a day`);
    const gaps = told.slice(1).map((at, index) => at - told[index]!);
    assert.equal(Math.max(...gaps), 60);
  });

  it('are reported soon again after a quiet time', () => {
    const told = toldAt(5000, (tick) => tick < 3000 || tick > 4400);
    const first = told.find((at) => at > 4400);
    assert.ok(first! <= 4410, String(first));
    assert.deepEqual(
      told.filter((at) => at > 3100 && at < 4400),
      [],
    );
  });

  it('are not reported if there are none', () => {
    assert.deepEqual(
      toldAt(dayTicks, () => false),
      [],
    );
  });
});
