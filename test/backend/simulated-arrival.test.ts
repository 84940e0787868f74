import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SimulatedArrival } from '../support/simulated-arrival.ts';

/** Below this it is the collection of garbage that decides. */
const noiseMs = 10;

describe('a consumer whose time one tenant asks for', () => {
  it('takes the other’s batches as it did, measured in its own CPU time', async () => {
    await using quiet = await SimulatedArrival.start(1, 300_000);
    await using loud = await SimulatedArrival.start(1, 300_000);
    // Compiled, and the hostile tenant has used what it has at once.
    await quiet.run({ batches: 200, everyMs: 20, hostilePerBatch: 0 });
    await loud.run({ batches: 150, everyMs: 20, hostilePerBatch: 20 });
    const without: number[] = [];
    const during: number[] = [];
    for (let phase = 0; phase < 2; phase++) {
      without.push(...(await quiet.run({ batches: 100, everyMs: 20, hostilePerBatch: 0 })));
      during.push(...(await loud.run({ batches: 100, everyMs: 20, hostilePerBatch: 10 })));
    }
    assert.equal(during.length, 200, 'none of the other’s is lost');
    const [was, is] = [p99(without), p99(during)];
    assert.ok(is <= Math.max(2 * was, noiseMs), `${is} ms, ${was} ms without`);
    assert.equal(loud.sentHostile, 5000);
    assert.ok(loud.notices.some(({ kind }) => kind === 'slowed'));
    assert.ok(loud.notices.every(({ origin }) => origin?.tenant !== 'beta'));
  });
});

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * 0.99)]!;
}
