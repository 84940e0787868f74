import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import { readAnchors, readCertificates } from './certificate-file.ts';
import { orderChain } from './chain-order.ts';
import type { Certificate } from './certificate.ts';
import type { IdentityOptions } from './options.ts';
import { encodePem } from './pem.ts';
import { checkPrivateKey, encodePrivateKey, readPrivateKey } from './private-key.ts';
import { createSigner } from './signer.ts';
import type { Signer } from './signer.ts';
import { TenantIdentity } from './tenant-identity.ts';

export interface LoadedIdentity {
  identity: TenantIdentity;
  /** The certificate, then the intermediate CAs that came with it. */
  certificatePem: string;
  /** PKCS#8. */
  privateKeyPem: string;
  signer: Signer;
}

/** What makes an identity, in memory. */
export interface IdentityMaterial {
  /** Leaf first. */
  certificates: readonly [Certificate, ...Certificate[]];
  key: { path: string; key: KeyObject };
  anchors: readonly Certificate[];
}

/** The gateway's own and its intermediates. It bounds the ways that a chain is looked for. */
const certificatesMax = 10;

/**
 * Reads and verifies a silo's identity. `wallMs` is now; where the clock is `unknown` it is only the least
 * that now can be, and a certificate that begins later shows that it is at least then.
 * Throws IdentityMissing, FileUnreadable, IdentityRefused, IdentityUntrusted, IdentityOutOfTime (retryable
 * where it is not valid yet), IdentityKeyMismatch; `subject` is the path.
 */
export function loadIdentity(
  options: IdentityOptions,
  wallMs: number,
  clock: 'good' | 'unknown' = 'good',
): LoadedIdentity {
  const certificates = orderChain(readCertificates(options.certificate));
  const key = { path: options.privateKey, key: readPrivateKey(options.privateKey) };
  const anchors = readAnchors(options.trust);
  const nowMs = clock === 'good' ? wallMs : Math.max(wallMs, certificates[0].notBefore);
  return verifyMaterial({ certificates, key, anchors }, nowMs);
}

/** Throws as `loadIdentity` does, files apart. */
export function verifyMaterial(material: IdentityMaterial, nowMs: number): LoadedIdentity {
  const { certificates, key, anchors } = material;
  const [leaf, ...intermediates] = certificates;
  if (certificates.length > certificatesMax) {
    throw new MerestoneError('IdentityRefused', `more than ${certificatesMax} certificates in one file`, {
      subject: leaf.path,
      hint: "it should hold the gateway's certificate and its intermediate CAs; a bundle belongs in identity.trust",
    });
  }
  const identity = TenantIdentity.verify({ leaf, intermediates, anchors, nowMs });
  checkPrivateKey(leaf, key);
  return {
    identity,
    certificatePem: certificates.map(({ x509 }) => encodePem('CERTIFICATE', x509.raw)).join(''),
    privateKeyPem: encodePrivateKey(key.key),
    signer: createSigner(leaf, certificates, key.key),
  };
}
