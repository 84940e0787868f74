import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CpuLevel, govern, windowMs } from '../../../../src/silo/tenant/quota/cpu-governor.ts';

const max = 0.2;

/** Feeds one measurement a second; the levels, one for each. */
function levels(shares: readonly number[], from: CpuLevel = { at: 'free' }, fromMs = 0): CpuLevel[] {
  let level = from;
  return shares.map((share, index) => (level = govern(level, share, max, fromMs + index * 1000)));
}

/** What an isolate would take, as a mean over ten seconds: so much for each sample, and for the backlog. */
class Isolate {
  level: CpuLevel = { at: 'free' };
  #seconds: number[] = [];
  #nowMs = 0;

  run(seconds: number, demand: number, backlog: number, base = 0.01): void {
    for (let second = 0; second < seconds; second += 1) {
      const admit = this.level.at === 'thinning' ? this.level.admit : 1;
      const took = base + demand * admit + (this.level.at === 'free' ? backlog : 0);
      this.#seconds = [...this.#seconds, took].slice(-10);
      this.#nowMs += 1000;
      this.level = govern(this.level, this.share, max, this.#nowMs);
    }
  }

  get share(): number {
    return this.#seconds.reduce((sum, each) => sum + each, 0) / this.#seconds.length;
  }
}

describe('CPU governor', () => {
  it('does nothing while the share is under the limit', () => {
    for (const level of levels(Array<number>(100).fill(0.199))) assert.deepEqual(level, { at: 'free' });
  });

  it('makes the backlog wait at the limit, and drops samples no sooner than a window later', () => {
    const seen = levels([0.1, 0.2, ...Array<number>(10).fill(0.4)]).map(({ at }) => at);
    assert.deepEqual(seen, ['free', ...Array<string>(10).fill('backlog-waits'), 'thinning']);
  });

  it('drops no sample if it is enough that the backlog waits', () => {
    const isolate = new Isolate();
    isolate.run(60, 0.1, 0.6);
    for (let minute = 0; minute < 30; minute += 1) {
      isolate.run(1, 0.1, 0.6);
      assert.notEqual(isolate.level.at, 'thinning');
    }
  });

  it('releases the backlog after a whole window well below the limit, and not before', () => {
    const waiting: CpuLevel = { at: 'backlog-waits', sinceMs: 0, quietSinceMs: undefined };
    const quiet = Array<number>(11).fill(0.1);
    assert.deepEqual(levels(quiet, waiting).at(-1), { at: 'free' });
    assert.equal(levels(quiet.slice(1), waiting).at(-1)!.at, 'backlog-waits');
    assert.equal(levels([...quiet.slice(1), 0.18, ...quiet.slice(1)], waiting).at(-1)!.at, 'backlog-waits');
  });

  for (const times of [1.2, 2, 5, 20, 60]) {
    it(`limits a demand of ${times} times the share, and uses nearly the whole share`, () => {
      const isolate = new Isolate();
      isolate.run(180, max * times, 0.3);
      for (let second = 0; second < 600; second += 1) {
        isolate.run(1, max * times, 0.3);
        assert.ok(isolate.share < max * 1.05 && isolate.share > max * 0.5, `${isolate.share}`);
      }
      assert.equal(isolate.level.at, 'thinning', 'it does not swing');
    });
  }

  it('admits everything again, backlog last, when the demand is over', () => {
    const isolate = new Isolate();
    isolate.run(300, max * 8, 0.1);
    const seen: string[] = [];
    for (let second = 0; second < 300; second += 1) {
      isolate.run(1, 0.05, 0.05);
      if (isolate.level.at !== seen.at(-1)) seen.push(isolate.level.at);
    }
    assert.deepEqual(seen, ['thinning', 'backlog-waits', 'free']);
  });

  it('always admits one sample in a hundred', () => {
    let level: CpuLevel = { at: 'thinning', sinceMs: 0, admit: 0.02 };
    for (let at = 0; at < 100 * windowMs; at += 1000) level = govern(level, 50, max, at);
    assert.ok(level.at === 'thinning' && level.admit === 0.01);
  });

  it('releases the backlog after a spike, although the live load alone is near the limit', () => {
    const isolate = new Isolate();
    isolate.run(60, max * 0.8, 0);
    isolate.run(20, max * 3, 0);
    assert.notEqual(isolate.level.at, 'free');
    isolate.run(300, max * 0.8, 0);
    for (let second = 0; second < 3600; second += 1) {
      isolate.run(1, max * 0.8, 0);
      assert.equal(isolate.level.at, 'free');
    }
  });

  it('makes trials more rarely while there is no room for the backlog, and drops no sample for them', () => {
    const isolate = new Isolate();
    const freeSeconds = [0, 1, 2, 3].map(() => {
      let free = 0;
      for (let second = 0; second < 1800; second += 1) {
        isolate.run(1, max * 0.8, 0.3);
        assert.notEqual(isolate.level.at, 'thinning');
        if (isolate.level.at === 'free') free += 1;
      }
      return free;
    });
    assert.ok(
      freeSeconds.every((free) => free > 0),
      freeSeconds.join(', '),
    );
    assert.ok(freeSeconds[3]! <= 10 && freeSeconds[3]! < freeSeconds[0]!, freeSeconds.join(', '));
  });

  it('admits every sample again if most of the use, near the limit, is not for samples', () => {
    const isolate = new Isolate();
    const base = max * 0.85;
    isolate.run(30, max * 4, 0, base);
    assert.equal(isolate.level.at, 'thinning');
    isolate.run(1800, max * 0.1, 0, base);
    assert.equal(isolate.level.at, 'free');
  });

  it('restarts with short pauses after a successful trial', () => {
    const failedOften: CpuLevel = {
      at: 'backlog-waits',
      sinceMs: 0,
      quietSinceMs: undefined,
      trial: { pauseMs: 600_000, heldSinceMs: undefined },
    };
    const near = 0.18;
    const tried = govern(failedOften, near, max, 600_000);
    assert.equal(govern(failedOften, near, max, 599_000).at, 'backlog-waits');
    assert.equal(tried.at, 'free');
    const soonOver = govern(tried, 0.3, max, 605_000);
    assert.equal(govern(soonOver, near, max, 1_204_000).at, 'backlog-waits');
    assert.equal(govern(soonOver, near, max, 1_205_000).at, 'free');
    const lateOver = govern(tried, 0.3, max, 1_300_000);
    assert.equal(govern(lateOver, near, max, 1_329_000).at, 'backlog-waits');
    assert.equal(govern(lateOver, near, max, 1_330_000).at, 'free');
  });
});
