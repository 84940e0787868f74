import { MerestoneError } from '../base/error.ts';
import { readAnchors, readCertificates } from './certificate-file.ts';
import type { Certificate } from './certificate.ts';
import { orderChain } from './chain-order.ts';
import { checkTime, findChain } from './certificate-chain.ts';
import type { IdentityOptions } from './options.ts';
import { checkPrivateKey, readPrivateKey } from './private-key.ts';
import { readClaim } from './certificate-profile.ts';
import { quote } from './quote.ts';

/** Everything that can be reported about a certificate, good or not. */
export interface IdentityInspection {
  certificate: string;
  /** As the certificate claims; null if its names do not follow the profile. */
  tenant: string | null;
  gateway: string | null;
  /** ms since 1970 UTC. */
  notBefore: number;
  notAfter: number;
  fingerprintSha256: string;
  key: string;
  /** From the gateway's certificate to the trusted CA, or as far as its file goes. */
  chain: string[];
  warnings: string[];
  faults: string[];
  /** True if it passed every check; null if it was not checked against a CA or its key. */
  verified: boolean | null;
}

/**
 * Inspects an identity without using it: unlike `loadIdentity` it goes on after a fault. Throws only if the
 * certificate itself cannot be read.
 */
export function inspectIdentity(
  { certificate, privateKey, trust }: Pick<IdentityOptions, 'certificate'> & Partial<IdentityOptions>,
  nowMs: number,
): IdentityInspection {
  const [leaf, ...intermediates] = orderChain(readCertificates(certificate));
  const faults: string[] = [];
  const attempt = <Result>(act: () => Result): Result | undefined => {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof MerestoneError)) throw error;
      faults.push(error.describe());
      return undefined;
    }
  };
  const claim = attempt(() => readClaim(leaf));
  attempt(() => checkTime(leaf, nowMs));
  const chain =
    trust === undefined
      ? undefined
      : attempt(() => findChain(leaf, intermediates, readAnchors(trust), nowMs));
  if (privateKey !== undefined) {
    attempt(() => checkPrivateKey(leaf, { path: privateKey, key: readPrivateKey(privateKey) }));
  }
  const unchecked = trust === undefined || privateKey === undefined;
  return {
    certificate,
    tenant: claim?.tenantId ?? null,
    gateway: claim?.gatewayId ?? null,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    fingerprintSha256: leaf.fingerprintSha256,
    key: keyName(leaf),
    chain: (chain ?? [leaf, ...intermediates]).map(({ x509 }) => quote(x509.subject.replaceAll('\n', ', '))),
    warnings: [...(claim?.warnings ?? [])],
    faults,
    verified: faults.length > 0 ? false : unchecked ? null : true,
  };
}

function keyName({ publicKey }: Certificate): string {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details } = publicKey;
  const curve = details?.namedCurve === 'prime256v1' ? 'P-256' : details?.namedCurve;
  const size = curve ?? details?.modulusLength ?? '';
  return `${type.toUpperCase()} ${size}`.trim();
}
