import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { silentLogger } from '../../../../src/base/logger.ts';
import { givenUpMs, Oversize } from '../../../../src/silo/tenant/forward/oversize.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const hourMs = 3_600_000;
const ref = (seq: number): { epoch: string; seq: number } => ({ epoch: 'a', seq });

describe('batches above the broker’s size limit', () => {
  let clock: FakeClock;
  let oversize: Oversize;
  let released: number[];
  let rejected: [number, string][];
  let reports: string[];

  beforeEach(() => {
    clock = new FakeClock();
    released = [];
    rejected = [];
    reports = [];
    oversize = new Oversize({
      clock,
      logger: silentLogger,
      release: (refs) => void released.push(...refs.map(({ seq }) => seq)),
      reject: (refs, reason) => void rejected.push(...refs.map(({ seq }): [number, string] => [seq, reason])),
      report: (state, bytesMax) => void reports.push(`${state} ${bytesMax}`),
    });
    oversize.limit(1000);
    oversize.sessionReady();
  });

  it('wait until a limit lets them pass, the smaller ones first', () => {
    oversize.hold('a/1', ref(1), 1500);
    oversize.hold('a/2', ref(2), 3000);
    assert.deepEqual(reports, ['reached 1000']);
    oversize.limit(2000);
    assert.deepEqual(released, [1]);
    assert.equal(oversize.count, 1);
    oversize.limit(Infinity);
    assert.deepEqual(released, [1, 2]);
    assert.deepEqual(reports, ['reached 1000', 'cleared Infinity']);
    assert.equal(clock.timers, 0);
  });

  it('do not wait if the limit rose while they were in flight', () => {
    oversize.hold('a/1', ref(1), 900);
    assert.deepEqual([released, reports], [[1], []]);
  });

  it('are given up and reported after a day above the limit', () => {
    oversize.hold('a/1', ref(1), 1500);
    clock.advance(12 * hourMs);
    oversize.hold('a/2', ref(2), 1500);
    clock.advance(givenUpMs - 13 * hourMs);
    assert.equal(rejected.length, 0);
    clock.advance(2 * hourMs);
    assert.deepEqual(rejected, [[1, 'larger than the broker took for a day (1000 bytes)']]);
    clock.advance(12 * hourMs);
    assert.deepEqual(
      rejected.map((each) => each[0]),
      [1, 2],
    );
    assert.deepEqual(reports, ['reached 1000', 'cleared 1000']);
  });

  it('are not given up for time without a session', () => {
    oversize.hold('a/1', ref(1), 1500);
    clock.advance(hourMs);
    oversize.sessionLost();
    clock.advance(10 * givenUpMs);
    oversize.sessionReady();
    clock.advance(givenUpMs - 2 * hourMs);
    assert.deepEqual(rejected, []);
    clock.advance(2 * hourMs);
    assert.equal(rejected.length, 1);
  });
});
