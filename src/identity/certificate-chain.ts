import { MerestoneError } from '../base/error.ts';
import { expiryRemedy } from '../base/expiry.ts';
import type { Certificate } from './certificate.ts';
import { anyExtendedUsage, clientAuth, KeyUsage } from './key-usage.ts';
import { constraintBroken } from './name-constraint.ts';

export type Chain = readonly [leaf: Certificate, ...authorities: Certificate[]];

/** When all certificates of a chain are in time; ms since 1970 UTC. */
export interface ChainTime {
  beginsAt: number;
  endsAt: number;
  /** The CA that ends first and its file; null if the gateway's own certificate ends first. */
  endsBy: string | null;
}

/** Certificates from the gateway's to the trusted one, both counted. Real chains have two or three. */
const chainLengthMax = 6;

/**
 * Issuers that are tried for one chain. Real chains need one per certificate; CAs of one name that all sign each
 * other make a path of every order of them.
 */
const candidatesMax = 24;

/** Accepted signature algorithms: ECDSA and RSA (PKCS #1) with SHA-2, and Ed25519. */
const soundSignatures: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.3.101.112',
]);

/**
 * The path from the gateway's certificate to one of `anchors`, each certificate issued by the next
 * (RFC 5280 §6.1). An anchor may be an intermediate CA: a tenant's CA is trusted without its root. Throws
 * IdentityUntrusted, or IdentityOutOfTime if the longest path failed on a CA's time. Without `nowMs`, times are
 * not checked.
 */
export function findChain(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  nowMs: number | undefined,
): Chain {
  let farthest: { length: number; fault: MerestoneError } | undefined;
  let candidatesLeft = candidatesMax;
  const signatures = new Map<string, boolean>();
  const blame = (chain: Chain, fault: MerestoneError): void => {
    if (farthest === undefined || chain.length > farthest.length) farthest = { length: chain.length, fault };
  };

  /** No signature is verified twice. */
  function signed(issuer: Certificate, certificate: Certificate): boolean {
    const pair = `${certificate.fingerprintSha256} ${issuer.fingerprintSha256}`;
    const known = signatures.get(pair) ?? isIssuedBy(certificate, issuer);
    signatures.set(pair, known);
    return known;
  }

  function extend(chain: Chain): Chain | undefined {
    const last = chain.at(-1)!;
    let issuers = 0;
    for (const issuer of [...anchors, ...intermediates]) {
      if (isAmong(issuer, chain) || !last.issuerDer.equals(issuer.subjectDer)) continue;
      if (candidatesLeft-- <= 0) throw untrusted(leaf, 'too many certificates could be its issuers');
      if (!signed(issuer, last)) continue;
      issuers++;
      const fault = issuerFault(issuer, chain, nowMs);
      const longer: Chain = [...chain, issuer];
      if (fault !== undefined) blame(longer, fault);
      else if (anchors.includes(issuer)) return longer;
      else if (longer.length === chainLengthMax) blame(longer, untrusted(leaf, 'its chain is too long'));
      else {
        const found = extend(longer);
        if (found !== undefined) return found;
      }
    }
    if (issuers === 0) blame(chain, issuerMissing(chain, [...anchors, ...intermediates]));
    return undefined;
  }

  const chain = extend([leaf]);
  if (chain !== undefined) return chain;
  throw farthest!.fault;
}

export function timeOf(chain: Chain): ChainTime {
  const beginsAt = Math.max(...chain.map(({ notBefore }) => notBefore));
  const endsAt = Math.min(...chain.map(({ notAfter }) => notAfter));
  const first = chain.find(({ notAfter }) => notAfter === endsAt)!;
  return { beginsAt, endsAt, endsBy: first === chain[0] ? null : `${first.title} (${first.path})` };
}

/** Throws IdentityOutOfTime; retryable if the certificate is not valid yet, since the clock may be wrong. */
export function checkTime(certificate: Certificate, nowMs: number): void {
  const fault = timeFault(certificate, 'it', nowMs);
  if (fault !== undefined) throw fault;
}

function isAmong({ fingerprintSha256 }: Certificate, certificates: readonly Certificate[]): boolean {
  return certificates.some((each) => each.fingerprintSha256 === fingerprintSha256);
}

function isIssuedBy(certificate: Certificate, candidate: Certificate): boolean {
  if (!certificate.issuerDer.equals(candidate.subjectDer)) return false;
  try {
    return certificate.x509.verify(candidate.publicKey);
  } catch {
    return false; // a key of another kind than the signature
  }
}

/** Why `issuer`, which signed the last certificate of `below`, may not be the CA above all of `below`. */
function issuerFault(
  issuer: Certificate,
  below: Chain,
  nowMs: number | undefined,
): MerestoneError | undefined {
  const reason = authorityFault(issuer, below.length - 1) ?? signatureFault(below.at(-1)!);
  if (reason !== undefined) return untrusted(below[0], `its issuer ${issuer.title} ${reason}`);
  for (const each of below) {
    const broken = constraintBroken(issuer, each);
    if (broken !== undefined) {
      return untrusted(
        below[0],
        `its issuer ${issuer.title} ${broken} as that of ${each.title} (name constraints)`,
      );
    }
  }
  return nowMs === undefined ? undefined : timeFault(issuer, `its issuer ${issuer.title}`, nowMs);
}

/** `authoritiesBelow` counts the CA certificates between this one and the gateway's. */
function authorityFault(issuer: Certificate, authoritiesBelow: number): string | undefined {
  const { isAuthority, keyUsages, extendedKeyUsages, pathLengthMax, unknownCritical } = issuer;
  if (!isAuthority) return 'is not a CA';
  if (keyUsages?.has(KeyUsage.certSign) === false) return 'may not sign certificates by its key usage';
  if (extendedKeyUsages?.some((usage) => usage === clientAuth || usage === anyExtendedUsage) === false) {
    return 'may not issue for clientAuth by its extended key usage';
  }
  if (pathLengthMax !== undefined && authoritiesBelow > pathLengthMax) {
    return `allows ${pathLengthMax} CAs below it, and there are ${authoritiesBelow} (path length)`;
  }
  if (unknownCritical.length > 0) {
    return `has a critical extension that is not known here (${unknownCritical.join(', ')})`;
  }
  return isWeak(issuer) ? 'has a key that is too weak' : undefined;
}

function isWeak({ publicKey }: Certificate): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  if (type === 'rsa') return (details?.modulusLength ?? 0) < 2048;
  if (type === 'ec') return !['prime256v1', 'secp384r1', 'secp521r1'].includes(details?.namedCurve ?? '');
  return type !== 'ed25519';
}

function signatureFault({ x509, title }: Certificate): string | undefined {
  if (soundSignatures.has(x509.signatureAlgorithmOid)) return undefined;
  return `signed ${title} with ${x509.signatureAlgorithm ?? x509.signatureAlgorithmOid}, which is not trusted`;
}

function timeFault(certificate: Certificate, who: string, nowMs: number): MerestoneError | undefined {
  const { path, notBefore, notAfter } = certificate;
  if (nowMs > notAfter) {
    return new MerestoneError(
      'IdentityOutOfTime',
      `${who} expired on ${iso(notAfter)}, and the clock says ${day(nowMs)}`,
      { subject: path, hint: expiryRemedy(nowMs - notAfter, 'have the certificate renewed') },
    );
  }
  if (nowMs >= notBefore) return undefined;
  return new MerestoneError(
    'IdentityOutOfTime',
    `${who} is not valid before ${iso(notBefore)}, and it is ${day(nowMs)}`,
    { subject: path, hint: 'check that the clock is right; it is tried again', retryable: true },
  );
}

function issuerMissing(chain: Chain, known: readonly Certificate[]): MerestoneError {
  const [leaf] = chain;
  const last = chain.at(-1)!;
  const selfSigned = isIssuedBy(last, last);
  if (selfSigned && last === leaf) return untrusted(leaf, 'it is self-signed, so no CA vouches for it');
  const whose = last === leaf ? 'it' : `its issuer ${last.title}`;
  if (selfSigned) return untrusted(leaf, `${whose} is self-signed, and not among the trusted CAs`);
  const issuer = last.issuerTitle;
  const namesake = known.some((each) => each.subjectDer.equals(last.issuerDer));
  return untrusted(
    leaf,
    namesake
      ? `${whose} was not signed by the ${issuer} that is known here, which has another key`
      : `${whose} was issued by ${issuer}, who is neither trusted nor in the certificate file`,
  );
}

function untrusted(leaf: Certificate, reason: string): MerestoneError {
  return new MerestoneError('IdentityUntrusted', reason, {
    subject: leaf.path,
    hint: "name the tenant's own CA as identity.trust, and put intermediate CAs after the certificate in its file",
  });
}

function iso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Only the day: a reason that changed at every check would be reported at every check. */
function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
