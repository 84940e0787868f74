import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Sample } from '../../../../src/reading/sample.ts';
import { bootSettleMs, judgeClock } from '../../../../src/silo/tenant/ingest/clock-trust.ts';
import {
  doubtMs,
  stableMs,
  Timekeeper,
  undatedMaxMs,
} from '../../../../src/silo/tenant/ingest/timekeeper.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const today = Date.UTC(2026, 10, 22, 12);
const floorMs = today - 86_400_000;

describe('the clock', () => {
  const evidence = {
    synchronized: false,
    setFromHardware: false,
    wallMs: today,
    monotonicMs: bootSettleMs,
    floorMs,
  };

  it('is good when the kernel reports it synchronized, with any floor', () => {
    assert.equal(judgeClock({ ...evidence, synchronized: true, wallMs: 0, monotonicMs: 0 }), 'good');
  });

  it('is never good below the floor if not synchronized', () => {
    assert.equal(judgeClock({ ...evidence, wallMs: floorMs - 1, setFromHardware: true }), 'unknown');
  });

  it('must come from hardware in the first minute after boot', () => {
    assert.equal(judgeClock({ ...evidence, monotonicMs: bootSettleMs - 1 }), 'unknown');
    assert.equal(judgeClock({ ...evidence, monotonicMs: 1000, setFromHardware: true }), 'good');
    assert.equal(judgeClock(evidence), 'good');
  });
});

describe('timekeeper', () => {
  const start = (wallMs: number): { clock: FakeClock; keeper: Timekeeper; take: () => Sample } => {
    const clock = new FakeClock(wallMs, 5000);
    const keeper = new Timekeeper(
      { clock, bootId: 'this', synchronized: () => false, setFromHardware: true },
      floorMs,
    );
    const take = (): Sample => ({
      device: 'meter',
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
      values: { power: 1 },
    });
    return { clock, keeper, take };
  };

  it('dates a sample that was taken in 1970 once the clock has been set', () => {
    const { clock, keeper, take } = start(0);
    assert.equal(keeper.mode, 'unknown');
    const early = take();
    clock.advance(30_000);
    clock.setWall(today);
    assert.equal(keeper.check(), true);
    assert.equal(keeper.mode, 'good');
    assert.deepEqual(keeper.date({ bootId: 'this', sample: early }), {
      device: 'meter',
      ts: today - 30_000,
      values: { power: 1 },
    });
  });

  it('marks a sample of another boot as estimated, and never dates it before the floor', () => {
    const { keeper, take } = start(today);
    const sample = { ...take(), wallMs: 1000 };
    assert.deepEqual(keeper.date({ bootId: 'other', sample }), {
      device: 'meter',
      ts: floorMs,
      clock: 'estimated',
      values: { power: 1 },
    });
  });

  it('waits for a good clock, but only for a limited time', () => {
    const { clock, keeper, take } = start(0);
    clock.advance(undatedMaxMs - 1);
    keeper.check();
    assert.equal(keeper.mode, 'unknown');
    clock.advance(1);
    keeper.check();
    assert.equal(keeper.mode, 'estimating');
    assert.equal(keeper.date({ bootId: 'this', sample: take() }).clock, 'estimated');
  });

  it("keeps a live sample's own time, and corrects it if the clock was set in between", () => {
    const { clock, keeper, take } = start(today);
    const sample = take();
    clock.advance(40);
    assert.equal(keeper.date({ bootId: 'this', sample }).ts, today);
    clock.setWall(today + 3_600_000);
    assert.equal(keeper.date({ bootId: 'this', sample }).ts, today + 3_600_000 - 40);
  });

  it('loses its trust when the clock falls below the floor', () => {
    const { clock, keeper } = start(today);
    assert.equal(keeper.mode, 'good');
    clock.setWall(floorMs - 1);
    assert.equal(keeper.check(), true);
    assert.equal(keeper.mode, 'unknown');
  });
});

describe('a clock behind our own newest sample', () => {
  const dayMs = 86_400_000;
  const ahead = today + 5 * dayMs;
  const start = (wallMs: number, changes: { synchronized?: boolean; setFromHardware?: boolean } = {}) => {
    const clock = new FakeClock(wallMs, 500_000);
    const { synchronized = false, setFromHardware = false } = changes;
    const sources = { clock, bootId: 'this', synchronized: () => synchronized, setFromHardware };
    const keeper = new Timekeeper(sources, floorMs, ahead);
    const pass = (ms: number): void => {
      for (let passed = 0; passed < ms; passed += 1000) {
        clock.advance(1000);
        keeper.check();
      }
    };
    const take = (): Sample => ({
      device: 'meter',
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
      values: { power: 1 },
    });
    return { clock, keeper, take, pass };
  };

  for (const setFromHardware of [false, true]) {
    it(`dates nothing for a minute, then with a mark, and is trusted after ten (hardware: ${setFromHardware})`, () => {
      const { clock, keeper, take, pass } = start(today, { setFromHardware });
      assert.equal(keeper.mode, 'unknown');
      const early = take();
      pass(doubtMs);
      assert.equal(keeper.mode, 'estimating');
      const dated = keeper.date({ bootId: 'this', sample: early });
      assert.deepEqual([dated.ts, dated.clock], [today, 'estimated']);
      assert.equal(keeper.date({ bootId: 'this', sample: take() }).ts, clock.wallMs());
      pass(stableMs - doubtMs);
      assert.equal(keeper.mode, 'good');
      assert.deepEqual(keeper.date({ bootId: 'this', sample: take() }).ts, clock.wallMs());
    });
  }

  it('is trusted at once if NTP has set it', () => {
    assert.equal(start(today, { synchronized: true }).keeper.mode, 'good');
  });

  it('is doubted again after each step', () => {
    const { clock, keeper, pass } = start(today);
    pass(stableMs - 5000);
    clock.setWall(clock.wallMs() + 7_200_000);
    pass(stableMs - 5000);
    assert.equal(keeper.mode, 'estimating');
    pass(6000);
    assert.equal(keeper.mode, 'good');
  });

  it('dates undated samples of another boot by that boot’s clock if it can be right', () => {
    const { keeper, take } = start(today);
    const sample = { ...take(), wallMs: today - 3_600_000 };
    assert.equal(keeper.date({ bootId: 'other', sample }).ts, today - 3_600_000);
  });
});

describe('an estimate by a clock that cannot be right', () => {
  it('follows the monotonic clock of each boot, over any number of samples', () => {
    const clock = new FakeClock(0, 5000);
    const sources = { clock, bootId: 'this', synchronized: () => false, setFromHardware: true };
    const keeper = new Timekeeper(sources, floorMs, today);
    const samples = Array.from({ length: 656 }, () => {
      clock.advance(1000);
      return { device: 'meter', wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs(), values: {} };
    });
    keeper.check();
    assert.equal(keeper.mode, 'estimating');
    for (const bootId of ['this', 'other']) {
      const times = samples.map((sample) => keeper.date({ bootId, sample }).ts);
      assert.deepEqual(
        times,
        samples.map((_, index) => today + index * 1000),
      );
    }
  });
});
