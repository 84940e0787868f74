import { createHash } from 'node:crypto';

/** `chain(0)`: 32 zero bytes. */
export const chainStart: Buffer = Buffer.alloc(32);

/** `chain(n) = SHA-256(chain(n-1) || SHA-256(payload(n)))`, payload being the uncompressed JSON bytes. */
export function chainNext(previous: Uint8Array, payload: Uint8Array): Buffer {
  return chainLink(previous, createHash('sha256').update(payload).digest());
}

/** The same for a payload of which only its SHA-256 is known. */
export function chainLink(previous: Uint8Array, payloadSha256: Uint8Array): Buffer {
  return createHash('sha256').update(previous).update(payloadSha256).digest();
}
