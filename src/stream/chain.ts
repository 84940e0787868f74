import { createHash } from 'node:crypto';

/** `chain(0)`: 32 zero bytes. */
export const chainStart: Buffer = Buffer.alloc(32);

/** `chain(n) = SHA-256(chain(n-1) || SHA-256(payload(n)))`, payload being the uncompressed JSON bytes. */
export function chainNext(previous: Uint8Array, payload: Uint8Array): Buffer {
  const digest = createHash('sha256').update(payload).digest();
  return createHash('sha256').update(previous).update(digest).digest();
}
