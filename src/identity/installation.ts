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
  /** Where the identity is installed; it is verified against `trust`. */
  target: IdentityOptions;
  /** PEM, DER, PKCS#7 or PKCS#12, in any order: the certificate, its intermediates and, if it is new, the key. */
  sources: readonly string[];
  password: string;
  /** True if the certificate may name another tenant or gateway than the installed one. */
  newHolder: boolean;
  nowMs: number;
}

export interface Installation {
  loaded: LoadedIdentity;
  /** Files that were replaced; the previous one is kept as `.old`. */
  replaced: string[];
}

/**
 * Installs an identity after verifying it completely, as the daemon would; until then no file changes. If no source
 * contains a key, the installed key is used, so that the answer to a request made here can be installed. Throws as
 * `loadIdentity`, and IdentityForeign.
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
  // The key is written first: the daemon waits out the moment in which key and certificate do not match.
  if (brought.length > 0) replaced.push(...replaceFile(target.privateKey, loaded.privateKeyPem, 0o600));
  replaced.push(...replaceFile(target.certificate, loaded.certificatePem, 0o644));
  return { loaded, replaced };
}

/** To install one customer's certificate on another's silo is an easy and costly mistake. */
function checkHolder(leaf: Certificate, target: IdentityOptions): void {
  if (!existsSync(target.certificate)) return;
  const [before, after] = [holderOf(orderChain(readCertificates(target.certificate))[0]), holderOf(leaf)];
  if (before === undefined || before === after) return;
  throw new MerestoneError('IdentityForeign', `it names ${after}, and the one in place ${before}`, {
    subject: leaf.path,
    hint: 'if that is meant, say so with --new-holder: the old spool stays sealed off',
  });
}

/** `acme/acme_gw-0001`, or undefined if the certificate's names do not follow the profile. */
function holderOf(certificate: Certificate): string | undefined {
  try {
    const { tenantId, gatewayId } = readClaim(certificate);
    return `${tenantId}/${gatewayId}`;
  } catch {
    return undefined;
  }
}
