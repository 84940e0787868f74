import { existsSync } from 'node:fs';
import { MerestoneError } from '../base/error.ts';
import { readAnchors, readCertificates } from './certificate-file.ts';
import { orderChain } from './chain-order.ts';
import type { Certificate } from './certificate.ts';
import { verifyMaterial } from './load-identity.ts';
import type { LoadedIdentity } from './load-identity.ts';
import type { IdentityOptions } from './options.ts';
import { readPrivateKey } from './private-key.ts';
import { readClaim } from './certificate-profile.ts';
import { replaceFile } from './file-replacement.ts';
import { readSource } from './identity-source.ts';

export interface InstallationRequest {
  /** Where the identity belongs; `trust` is what it is checked against. */
  target: IdentityOptions;
  /** PEM, DER, PKCS#7 or PKCS#12, in any order: the certificate, its intermediates and, where it is new, the key. */
  sources: readonly string[];
  password: string;
  /** Whether a certificate that names another tenant or gateway than the one in place is meant. */
  newHolder: boolean;
  nowMs: number;
}

export interface Installation {
  loaded: LoadedIdentity;
  /** Files that were replaced; each has its predecessor beside it as `.old`. */
  replaced: string[];
}

/**
 * Puts an identity in place after verifying it whole, as the daemon would; until then nothing is touched.
 * The key in place serves where no source brings one, so that what was requested here can be installed.
 * Throws what `loadIdentity` throws, and IdentityForeign.
 */
export function installIdentity(request: InstallationRequest): Installation {
  const { target, sources, password, nowMs } = request;
  const material = sources.map((path) => readSource(path, password));
  const certificates = material.flatMap((each) => each.certificates);
  const brought = material.flatMap((each) => each.keys);
  if (brought.length > 1) {
    throw new MerestoneError('IdentityRefused', `the files hold ${brought.length} private keys`, {
      subject: brought[1]!.path,
      hint: 'give the key that the certificate was issued for, and no other',
    });
  }
  const key = brought[0] ?? { path: target.privateKey, key: readPrivateKey(target.privateKey) };
  const leaf = certificates.find(({ x509 }) => x509.checkPrivateKey(key.key));
  if (leaf === undefined) {
    throw new MerestoneError(
      'IdentityKeyMismatch',
      `none of the ${certificates.length} certificates is of this key`,
      {
        subject: key.path,
        hint: 'give the key that the certificate was issued for along with it',
      },
    );
  }
  const others = certificates.filter(({ fingerprintSha256 }) => fingerprintSha256 !== leaf.fingerprintSha256);
  const anchors = readAnchors(target.trust);
  const loaded = verifyMaterial({ certificates: orderChain([leaf, ...others]), key, anchors }, nowMs);
  if (!request.newHolder) checkHolder(leaf, target);
  const replaced: string[] = [];
  // The key goes first: the moment in which they don't match is one that the daemon waits out.
  if (brought.length > 0) replaced.push(...replaceFile(target.privateKey, loaded.privateKeyPem, 0o600));
  replaced.push(...replaceFile(target.certificate, loaded.certificatePem, 0o644));
  return { loaded, replaced };
}

/** Putting one customer's certificate on another's silo is an easy mistake and a costly one. */
function checkHolder(leaf: Certificate, target: IdentityOptions): void {
  if (!existsSync(target.certificate)) return;
  const [before, after] = [holderOf(orderChain(readCertificates(target.certificate))[0]), holderOf(leaf)];
  if (before === undefined || before === after) return;
  throw new MerestoneError('IdentityForeign', `it names ${after}, and the one in place ${before}`, {
    subject: leaf.path,
    hint: 'if that is meant, say so with --new-holder: the old spool stays sealed off',
  });
}

/** `acme/acme_gw-0001`, or undefined where the certificate names nobody properly. */
function holderOf(certificate: Certificate): string | undefined {
  try {
    const { tenantId, gatewayId } = readClaim(certificate);
    return `${tenantId}/${gatewayId}`;
  } catch {
    return undefined;
  }
}
