import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { afterAnswer, openWindow, type PublishWindow, windowSize } from '../../src/uplink/publish-window.ts';

interface LinkModel {
  roundTripMs: (atMs: number) => number;
  bytesPerSecond: number;
  batchBytes: number;
  inflightMax: number;
}

interface Run {
  window: PublishWindow;
  /** Share of what the link could have carried between `fromMs` and the end. */
  use(fromMs: number): number;
  roundTripsMs: number[];
}

/** A sender with a full spool on a link that serialises: each batch queues behind those before it. */
function drain({ roundTripMs, bytesPerSecond, batchBytes, inflightMax }: LinkModel, lengthMs: number): Run {
  const transferMs = (batchBytes / bytesPerSecond) * 1000;
  const inFlight: { sentAtMs: number; answeredAtMs: number; inflight: number }[] = [];
  const answers: number[] = [];
  const roundTripsMs: number[] = [];
  let window = openWindow(inflightMax, 0);
  let linkFreeAtMs = 0;
  let nowMs = 0;
  while (nowMs < lengthMs) {
    while (inFlight.length < windowSize(window)) {
      linkFreeAtMs = Math.max(linkFreeAtMs, nowMs) + transferMs;
      const answeredAtMs = linkFreeAtMs + roundTripMs(nowMs);
      inFlight.push({ sentAtMs: nowMs, answeredAtMs, inflight: inFlight.length + 1 });
    }
    const answer = inFlight.shift()!;
    nowMs = Math.max(nowMs, answer.answeredAtMs);
    window = afterAnswer(window, { ...answer, answeredAtMs: nowMs });
    answers.push(nowMs);
    roundTripsMs.push(nowMs - answer.sentAtMs);
  }
  const use = (fromMs: number): number =>
    (answers.filter((atMs) => atMs >= fromMs).length * transferMs) / (nowMs - fromMs);
  return { window, use, roundTripsMs };
}

const satellite: LinkModel = {
  roundTripMs: () => 600,
  bytesPerSecond: 1_000_000,
  batchBytes: 20_000,
  inflightMax: 100,
};

describe('publish window', () => {
  it('uses a satellite link of 600 ms to more than 85 %', () => {
    const run = drain(satellite, 120_000);
    assert.ok(run.use(10_000) > 0.85, `${run.use(10_000)}`);
  });

  it('fills a satellite link within ten seconds', () => {
    assert.ok(drain(satellite, 10_000).use(0) > 0.5);
  });

  it('keeps the queue on a slow link short: a new batch is never far behind', () => {
    const run = drain({ ...satellite, roundTripMs: () => 50, bytesPerSecond: 10_000 }, 600_000);
    const transferMs = 2000;
    assert.ok(run.use(60_000) > 0.95, `${run.use(60_000)}`);
    assert.ok(Math.max(...run.roundTripsMs.slice(10)) <= 3 * transferMs);
  });

  it('opens fully where there is no delay', () => {
    const run = drain({ ...satellite, roundTripMs: () => 0.5, bytesPerSecond: 100_000_000 }, 5000);
    assert.equal(windowSize(run.window), 100);
  });

  it('finds a new size when the route changes', () => {
    const run = drain({ ...satellite, roundTripMs: (atMs) => (atMs < 60_000 ? 50 : 600) }, 300_000);
    assert.ok(run.use(180_000) > 0.8, `${run.use(180_000)}`);
  });

  it('does not open for a trickle that never fills it', () => {
    let window = openWindow(100, 0);
    for (let atMs = 0; atMs < 100_000; atMs += 100) {
      window = afterAnswer(window, { sentAtMs: atMs, answeredAtMs: atMs + 5, inflight: 1 });
    }
    assert.equal(windowSize(window), 4);
  });

  it('stays between 1 and its maximum for any answers', () => {
    const answer = fc.record({
      waitMs: fc.double({ min: 0, max: 1e5, noNaN: true }),
      roundTripMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
      inflight: fc.integer({ min: 1, max: 200 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(answer, { maxLength: 300 }),
        (sizeMax, answers) => {
          let window = openWindow(sizeMax, 0);
          let nowMs = 0;
          for (const { waitMs, roundTripMs, inflight } of answers) {
            nowMs += waitMs;
            window = afterAnswer(window, { sentAtMs: nowMs - roundTripMs, answeredAtMs: nowMs, inflight });
            assert.ok(windowSize(window) >= 1 && windowSize(window) <= sizeMax);
          }
        },
      ),
    );
  });
});
