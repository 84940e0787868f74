import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** The integrity check of a PKCS#12 file (RFC 7292 §4). */
export interface MacData {
  digestOid: string;
  digest: Buffer;
  salt: Buffer;
  iterations: number;
}

const hashes: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** Exporters take up to a million; a file that asks for more would keep the box busy for minutes. */
const iterationsMax = 10_000_000;
/** "Key material for a MAC" (RFC 7292 appendix B.3). */
const purpose = 3;

/** Undefined for a check that is not by PKCS#12's own derivation, such as PBMAC1. */
export function macHash(oid: string): string | undefined {
  return hashes[oid];
}

/** Whether `password` made the MAC over `content`; null is no password, which is not the empty one. */
export function macHolds(mac: MacData, content: Buffer, password: string | null): boolean {
  const hash = macHash(mac.digestOid);
  const isBounded = mac.iterations >= 1 && mac.iterations <= iterationsMax;
  if (hash === undefined || !isBounded) return false;
  const digest = createHmac(hash, deriveKey(hash, mac, password))
    .update(content)
    .digest();
  return digest.length === mac.digest.length && timingSafeEqual(digest, mac.digest);
}

/** RFC 7292 appendix B.2 for a key as long as the digest, which takes one round of it. */
function deriveKey(hash: string, { salt, iterations }: MacData, password: string | null): Buffer {
  const blockBytes = hash === 'sha384' || hash === 'sha512' ? 128 : 64;
  const blocks = (bytes: Buffer): Buffer => {
    const length = Math.ceil(bytes.length / blockBytes) * blockBytes;
    return length === 0 ? bytes : Buffer.alloc(length, bytes);
  };
  const input = [Buffer.alloc(blockBytes, purpose), blocks(salt), blocks(bmpString(password))];
  let digest = createHash(hash).update(Buffer.concat(input)).digest();
  for (let round = 1; round < iterations; round++) digest = createHash(hash).update(digest).digest();
  return digest;
}

/** UTF-16, high byte first, with two zero bytes behind (appendix B.1). */
function bmpString(password: string | null): Buffer {
  if (password === null) return Buffer.alloc(0);
  return Buffer.from(`${password}\0`, 'utf16le').swap16();
}
