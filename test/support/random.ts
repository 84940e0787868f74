import type { TestContext } from 'node:test';

/** A generator of the same numbers from 0 to 1 for the same seed, so that a failure can be had again (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The same, as whole numbers from 0 to below `limit`. */
export function wholeFrom(seed: number): (limit: number) => number {
  const random = randomFrom(seed);
  return (limit) => Math.floor(random() * limit);
}

export function randomBytesFrom(seed: number, length: number): Buffer {
  const below = wholeFrom(seed);
  return Buffer.from(Array.from({ length }, () => below(256)));
}

/** A seed that is another in each run, or that of `TEST_SEED`; a test that fails says how it is repeated. */
export function freshSeed(t: TestContext): number {
  const given = process.env['TEST_SEED'];
  const seed = given === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(given);
  t.after(() => {
    // Node has it since 24; its types lag behind.
    const { passed } = t as TestContext & { readonly passed: boolean };
    if (!passed) t.diagnostic(`TEST_SEED=${seed} repeats the choices of this test`);
  });
  return seed;
}
