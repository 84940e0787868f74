import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { limitsOf, measureEveryMs, Watchdog } from '../../../src/silo/host/watchdog.ts';
import { siloOptions } from '../../support/silo-options.ts';

const thresholds = { memoryMeasurementsMax: 2, cpuMeasurementsMax: 3, silenceMaxMs: 3000 };

describe('watchdog', () => {
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

  it('measures the CPU share over ten seconds', () => {
    assert.equal(look(0.5).usage.cpuShare, 0.5);
    for (let second = 0; second < 9; second += 1) look(0);
    assert.ok(Math.abs(look(0).usage.cpuShare) < 1e-9);
  });

  it('tolerates one and a half times the CPU share for any time', () => {
    assert.deepEqual(new Set(faults(Array.from({ length: 100 }, () => 0.149))), new Set([undefined]));
  });

  it('reports an isolate that exceeds this for too long, with its CPU share', () => {
    assert.deepEqual(faults([0.16, 0.16, 0.16, 0.16]), [
      undefined,
      undefined,
      undefined,
      'took 16 % of a core and may take 10 % (quota.cpuShare)',
    ]);
  });

  it('tolerates a burst: only an unbroken excess counts', () => {
    assert.deepEqual(new Set(faults([0.4, 0, 0, 0, 0, 0, 0.4, 0, 0, 0])), new Set([undefined]));
  });

  it('ignores the CPU share without a quota', () => {
    watchdog = new Watchdog(limitsOf(siloOptions('north')), nowMs, thresholds);
    assert.deepEqual(new Set(faults(Array.from({ length: 20 }, () => 1))), new Set([undefined]));
  });

  it('tolerates memory over the limit for three measurements, and over twice the limit for none', () => {
    const over = 'took 65 MB of memory and may take 64 MB (memoryMax)';
    assert.deepEqual(
      [65, 65, 20, 65, 65, 65].map((memoryMb) => look(0, memoryMb).fault),
      [undefined, undefined, undefined, undefined, undefined, over],
    );
    assert.match(look(0, 20).fault ?? 'well', /well/);
    assert.equal(look(0, 129).fault, 'took 129 MB of memory and may take 64 MB (memoryMax)');
  });

  it('reports an isolate as hung after too long a silence', () => {
    assert.equal(watchdog.silence(nowMs, nowMs + 3000), undefined);
    assert.equal(watchdog.silence(nowMs, nowMs + 3001), 'hung: no sign of life for 3 s');
  });
});
