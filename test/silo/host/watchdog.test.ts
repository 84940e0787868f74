import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { limitsOf, measureEveryMs, Watchdog } from '../../../src/silo/host/watchdog.ts';
import { siloOptions } from '../../support/silo-options.ts';

const thresholds = { memoryMeasurementsMax: 2, cpuMeasurementsMax: 3, silenceMaxMs: 3000 };

describe('a warden', () => {
  let watchdog: Watchdog;
  let nowMs: number;
  let cpuMs: number;

  beforeEach(() => {
    const limits = limitsOf(siloOptions('north', { memoryMbMax: 64, quota: { cpuShare: 0.1 } }));
    nowMs = 5000;
    cpuMs = 0;
    watchdog = new Watchdog(limits, nowMs, thresholds);
  });

  /** The next look, one second later; `share` of a core was taken meanwhile. */
  function look(share: number, memoryMb = 20): ReturnType<Watchdog['take']> {
    nowMs += measureEveryMs;
    cpuMs += share * measureEveryMs;
    return watchdog.take({ cpuMs, memoryBytes: memoryMb * 1e6 }, nowMs);
  }

  const faults = (shares: readonly number[]): (string | undefined)[] =>
    shares.map((share) => look(share).fault);

  it('measures the share over ten seconds', () => {
    assert.equal(look(0.5).usage.cpuShare, 0.5);
    for (let second = 0; second < 9; second += 1) look(0);
    assert.ok(Math.abs(look(0).usage.cpuShare) < 1e-9);
  });

  it('bears up to half as much again as the share, for as long as it lasts', () => {
    assert.deepEqual(new Set(faults(Array.from({ length: 100 }, () => 0.149))), new Set([undefined]));
  });

  it('ends one that takes more for longer than is borne, and says what it took', () => {
    assert.deepEqual(faults([0.16, 0.16, 0.16, 0.16]), [
      undefined,
      undefined,
      undefined,
      'took 16 % of a core and may take 10 % (quota.cpuShare)',
    ]);
  });

  it('forgives a burst: what counts is what is over without a break', () => {
    assert.deepEqual(new Set(faults([0.4, 0, 0, 0, 0, 0, 0.4, 0, 0, 0])), new Set([undefined]));
  });

  it('has no share of CPU to watch where none was agreed', () => {
    watchdog = new Watchdog(limitsOf(siloOptions('north')), nowMs, thresholds);
    assert.deepEqual(new Set(faults(Array.from({ length: 20 }, () => 1))), new Set([undefined]));
  });

  it('bears memory over the limit for three looks, and twice the limit not at all', () => {
    const over = 'took 65 MB of memory and may take 64 MB (memoryMax)';
    assert.deepEqual(
      [65, 65, 20, 65, 65, 65].map((memoryMb) => look(0, memoryMb).fault),
      [undefined, undefined, undefined, undefined, undefined, over],
    );
    assert.match(look(0, 20).fault ?? 'well', /well/);
    assert.equal(look(0, 129).fault, 'took 129 MB of memory and may take 64 MB (memoryMax)');
  });

  it('holds one for hung that was silent for longer than is borne', () => {
    assert.equal(watchdog.silence(nowMs, nowMs + 3000), undefined);
    assert.equal(watchdog.silence(nowMs, nowMs + 3001), 'hung: no sign of life for 3 s');
  });
});
