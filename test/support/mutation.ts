import { wholeFrom } from './random.ts';

/** Bytes that matter to parsers of text. */
const spice = Buffer.from('{}[]":,\\0123456789.eE+-truefalsn _ux\u0000\u00ff\n', 'latin1');

/** `count` damaged copies of `original`: one to three of its bytes flipped, replaced, put in, taken out or moved. */
export function* mutations(original: Uint8Array, count: number, seed: number): Generator<Buffer> {
  const below = wholeFrom(seed);
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
