import { createHash, X509Certificate, type KeyObject } from 'node:crypto';
import { compactVerify, decodeProtectedHeader, type CompactJWSHeaderParameters } from 'jose';
import { MerestoneError } from '../base/error.ts';
import { certificatesMax } from '../messages/document-limits.ts';
import type { Origin } from '../messages/topic.ts';

export interface Signer extends Origin {
  /** SHA-256 of the certificate, hex. */
  fingerprintSha256: string;
  /** The certificate's own time, ms since 1970 UTC. */
  notBefore: number;
  notAfter: number;
}

/**
 * Says whom a certificate chain (DER, leaf first) names, if it leads to a CA that may vouch for `tenant`
 * and everything in it was good at `atMs`; throws a MerestoneError with the reason where not.
 */
export type VouchFor = (chain: readonly Buffer[], tenant: string, atMs: number) => Signer;

export interface Signed<Claims> {
  claims: Claims;
  signer: Signer;
  /** It says a time at which its certificate was not valid, but the certificate was when it came. */
  clockWrong: boolean;
}

/** What a signature is expected to be about. */
export interface Statement<Claims extends Origin> {
  /** Signed bytes → claims, checked against where they were found; throws a MerestoneError. */
  decode(payload: Uint8Array): Claims;
  /** A longer JWS is not looked at. */
  bytesMax: number;
  /** When it was signed, ms since 1970 UTC. */
  signedAt(claims: Claims): number;
}

/**
 * Verifies a compact JWS (RFC 7515) by the certificate that it brings (§4.1.6 x5c, §4.1.8 x5t#S256), that
 * certificate at the time of signing, and that it names the tenant and gateway that the claims name.
 * Where its time is outside of the certificate's, the certificate at `arrivedAt` counts, when it came: a gateway
 * whose clock is wrong signs honestly, and who holds an expired key does not hold a valid one.
 * Throws SignatureRefused, StreamForeign and what `decode` throws.
 */
export async function verifySigned<Claims extends Origin>(
  jws: Uint8Array | string,
  statement: Statement<Claims>,
  vouchFor: VouchFor,
  arrivedAt?: number,
): Promise<Signed<Claims>> {
  if (jws.length > statement.bytesMax) throw refused(`it is longer than ${statement.bytesMax} bytes`);
  let chain: Buffer[] = [];
  const keyOf = (header: CompactJWSHeaderParameters) => {
    chain = certificatesOf(header);
    return signerKey(chain[0]!);
  };
  const { payload } = await compactVerify(jws, keyOf, { algorithms: ['ES256', 'PS256'] }).catch(
    (cause: unknown) => {
      throw refused(`its signature is not good: ${(cause as Error).message}`);
    },
  );
  const claims = statement.decode(payload);
  const { signer, clockWrong } = vouch(
    chain,
    claims.tenant,
    [statement.signedAt(claims), arrivedAt],
    vouchFor,
  );
  if (signer.tenant !== claims.tenant || signer.gateway !== claims.gateway) {
    const [says, is] = [claims, signer].map(({ tenant, gateway }) => `${tenant}/${gateway}`);
    throw new MerestoneError('StreamForeign', `it speaks for ${says}, its certificate is that of ${is}`);
  }
  return { claims, signer, clockWrong };
}

function vouch(
  chain: readonly Buffer[],
  tenant: string,
  [signedAt, arrivedAt]: readonly [number, number | undefined],
  vouchFor: VouchFor,
): { signer: Signer; clockWrong: boolean } {
  try {
    return { signer: vouchFor(chain, tenant, signedAt), clockWrong: false };
  } catch (cause) {
    const outOfTime = cause instanceof MerestoneError && cause.code === 'IdentityOutOfTime';
    if (!outOfTime || arrivedAt === undefined) throw notGood(cause);
  }
  try {
    return { signer: vouchFor(chain, tenant, arrivedAt), clockWrong: true };
  } catch (cause) {
    throw notGood(cause);
  }
}

function notGood(cause: unknown): MerestoneError {
  return refused(`its certificate is not good: ${(cause as Error).message}`);
}

/**
 * SHA-256 (hex) of the certificate that a compact JWS says it is signed with, verified or not; undefined
 * where it says none.
 */
export function namedSigner(jws: string): string | undefined {
  try {
    const { x5c } = decodeProtectedHeader(jws);
    const [leaf] = x5c ?? [];
    return leaf && createHash('sha256').update(Buffer.from(leaf, 'base64')).digest('hex');
  } catch {
    return undefined;
  }
}

/** Nothing here trusts what the header brings: the signature proves the key, and `vouchFor` the certificate. */
function certificatesOf(header: CompactJWSHeaderParameters): Buffer[] {
  const { x5c } = header;
  if (!Array.isArray(x5c) || x5c.length === 0) throw refused('it brings no certificate (x5c)');
  if (x5c.length > certificatesMax)
    throw refused(`it brings more than ${certificatesMax} certificates (x5c)`);
  const chain = x5c.map((der) => Buffer.from(der, 'base64'));
  const thumbprint = createHash('sha256').update(chain[0]!).digest('base64url');
  if (header['x5t#S256'] !== thumbprint) throw refused('its x5t#S256 is not that of its certificate');
  return chain;
}

/** A verification takes as long as the key is large; no gateway has a larger one. */
const rsaBitsMax = 4096;

function signerKey(der: Buffer): KeyObject {
  const { publicKey } = new X509Certificate(der);
  const { modulusLength = 0, publicExponent = 0n } = publicKey.asymmetricKeyDetails ?? {};
  if (modulusLength > rsaBitsMax || publicExponent > 0xffff_ffffn) throw refused('its key is too large');
  return publicKey;
}

function refused(message: string): MerestoneError {
  return new MerestoneError('SignatureRefused', message);
}
