import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import type { Certificate } from './certificate.ts';

export interface Signer {
  /** A compact JWS over the claims as JSON, its header naming and carrying the certificate. */
  sign(claims: object): Promise<string>;
}

/**
 * Signs with the gateway's own TLS key (RFC 7515): ES256, or PS256 with an RSA key. With `x5t#S256` and `x5c`, a
 * statement can be checked against the tenant's CA years later.
 */
export function createSigner(leaf: Certificate, chain: readonly Certificate[], key: KeyObject): Signer {
  const header = {
    alg: key.asymmetricKeyType === 'ec' ? 'ES256' : 'PS256',
    'x5t#S256': Buffer.from(leaf.fingerprintSha256, 'hex').toString('base64url'),
    x5c: chain.map(({ x509 }) => x509.raw.toString('base64')),
  };
  return {
    sign: (claims) =>
      new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header).sign(key),
  };
}
