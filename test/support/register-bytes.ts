import type { Order } from '../../src/reading/point.ts';

/** Big-endian bytes of a value → registers in an order: the way back of what the code under test does. */
export function inOrder(bytes: Uint8Array, byteOrder: Order, wordOrder: Order): Uint8Array {
  const words: number[][] = [];
  for (let at = 0; at < bytes.length; at += 2) words.push([bytes[at]!, bytes[at + 1]!]);
  if (wordOrder === 'little') words.reverse();
  return Uint8Array.from(words.flatMap((word) => (byteOrder === 'little' ? word.toReversed() : word)));
}

/** The bytes that `write` puts into a buffer of this size. */
export function bytesOf(size: number, write: (view: DataView) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  write(view);
  return new Uint8Array(view.buffer);
}
