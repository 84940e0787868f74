/** A small generator of the same numbers for the same seed, so that a failure can be had again (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Bytes that matter to parsers of text. */
const spice = Buffer.from('{}[]":,\\0123456789.eE+-truefalsn _ux\u0000\u00ff\n', 'latin1');

/** `count` damaged copies of `original`: one to three of its bytes flipped, replaced, put in, taken out or moved. */
export function* mutations(original: Uint8Array, count: number, seed: number): Generator<Buffer> {
  const random = randomFrom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let index = 0; index < count; index++) {
    let bytes = Buffer.from(original);
    for (let rounds = 1 + below(3); rounds > 0; rounds--) {
      const at = below(bytes.length);
      const length = 1 + below(12);
      const slice = bytes.subarray(at, at + length);
      switch (below(6)) {
        case 0:
          bytes[at]! ^= 1 << below(8);
          break;
        case 1:
          bytes[at] = spice[below(spice.length)]!;
          break;
        case 2:
          bytes = Buffer.concat([
            bytes.subarray(0, at),
            Buffer.from([spice[below(spice.length)]!]),
            bytes.subarray(at),
          ]);
          break;
        case 3:
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
          break;
        case 4:
          bytes = Buffer.concat([bytes.subarray(0, at), slice, bytes.subarray(at)]);
          break;
        default: {
          const to = below(bytes.length);
          bytes = Buffer.concat([bytes.subarray(0, to), slice, bytes.subarray(to)]);
        }
      }
      if (bytes.length === 0) bytes = Buffer.from(original);
    }
    yield bytes;
  }
}
