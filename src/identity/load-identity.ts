import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import { readAnchors, readCertificates } from './certificate-file.ts';
import type { ChainTime } from './certificate-chain.ts';
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
  /** When it may sign and connect: over all chains, since another may be valid when the first one ends. */
  time: ChainTime;
  /** The certificate, then the intermediate CAs that came with it. */
  certificatePem: string;
  /** PKCS#8. */
  privateKeyPem: string;
  signer: Signer;
}

/** The parts of an identity in memory, not yet verified. */
export interface IdentityMaterial {
  /** Leaf first. */
  certificates: readonly [Certificate, ...Certificate[]];
  key: { path: string; key: KeyObject };
  anchors: readonly Certificate[];
}

/** The gateway's own certificate and its intermediates. Bounds the search for a chain. */
const certificatesMax = 10;
/** Ends of certificates as of which an ended identity is verified: a chain has few, a bundle of CAs many. */
const endsMax = 16;

/**
 * Reads and verifies a silo's identity. `wallMs` is now; if the clock is `unknown` it is only the earliest possible
 * now, and a certificate that begins later proves that now is at least that beginning.
 * Throws IdentityMissing, FileUnreadable, IdentityRefused, IdentityUntrusted, IdentityOutOfTime (retryable
 * if it is not valid yet), IdentityKeyMismatch; `subject` is the path.
 */
export function loadIdentity(
  options: IdentityOptions,
  wallMs: number,
  clock: 'good' | 'unknown' = 'good',
): LoadedIdentity {
  const material = readMaterial(options);
  const nowMs = clock === 'good' ? wallMs : Math.max(wallMs, material.certificates[0].notBefore);
  return verifyMaterial(material, nowMs);
}

/**
 * An identity that has ended by `wallMs`, verified as of the last moment at which its whole chain was in time. If
 * there never was such a moment (a CA was renewed after the end), times are not checked. The result shows whose the
 * spool is; it must neither sign nor connect. Throws as `loadIdentity`, except IdentityOutOfTime.
 */
export function loadEndedIdentity(options: IdentityOptions, wallMs: number): LoadedIdentity {
  const material = readMaterial(options);
  for (const endMs of endsBefore(material, wallMs)) {
    const ended = verifyInTime(material, endMs);
    if (ended !== undefined) return ended;
  }
  return verifyMaterial(material, undefined);
}

/** Undefined if a certificate of the chain is out of time at `nowMs`. Throws otherwise as `verifyMaterial`. */
function verifyInTime(material: IdentityMaterial, nowMs: number): LoadedIdentity | undefined {
  try {
    return verifyMaterial(material, nowMs);
  } catch (error) {
    if (error instanceof MerestoneError && error.code === 'IdentityOutOfTime') return undefined;
    throw error;
  }
}

/** When a chain of these may have ended, latest first: no chain outlives the gateway's own certificate. */
function endsBefore({ certificates, anchors }: IdentityMaterial, wallMs: number): number[] {
  const latest = Math.min(certificates[0].notAfter, wallMs);
  const ends = new Set([...certificates, ...anchors].map(({ notAfter }) => notAfter));
  return [...ends]
    .filter((end) => end <= latest)
    .sort((a, b) => b - a)
    .slice(0, endsMax);
}

function readMaterial(options: IdentityOptions): IdentityMaterial {
  return {
    certificates: orderChain(readCertificates(options.certificate)),
    key: { path: options.privateKey, key: readPrivateKey(options.privateKey) },
    anchors: readAnchors(options.trust),
  };
}

/** Throws as `loadIdentity`, except for faults of files. */
export function verifyMaterial(material: IdentityMaterial, nowMs: number | undefined): LoadedIdentity {
  const { certificates, key, anchors } = material;
  const [leaf, ...intermediates] = certificates;
  if (certificates.length > certificatesMax) {
    throw new MerestoneError('IdentityRefused', `more than ${certificatesMax} certificates in one file`, {
      subject: leaf.path,
      hint: "it should hold the gateway's certificate and its intermediate CAs; a bundle belongs in identity.trust",
    });
  }
  const verifyAt = (atMs: number | undefined): TenantIdentity =>
    TenantIdentity.verify({ leaf, intermediates, anchors, nowMs: atMs });
  const identity = verifyAt(nowMs);
  checkPrivateKey(leaf, key);
  return {
    identity,
    time: lastingTime(identity, verifyAt),
    certificatePem: certificates.map(({ x509 }) => encodePem('CERTIFICATE', x509.raw)).join(''),
    privateKeyPem: encodePrivateKey(key.key),
    signer: createSigner(leaf, certificates, key.key),
  };
}

/** The time over all chains: a CA renewed under its old key has two certificates in a bundle, and a chain over each. */
function lastingTime(
  { time, notAfter }: TenantIdentity,
  verifyAt: (atMs: number) => TenantIdentity,
): ChainTime {
  let { endsAt, endsBy } = time;
  for (let tries = 0; tries < endsMax && endsAt < notAfter; tries += 1) {
    try {
      // Certificates count whole seconds: the next chain begins one later at the latest.
      ({ endsAt, endsBy } = verifyAt(endsAt + 1000).time);
    } catch (error) {
      if (error instanceof MerestoneError) break;
      throw error;
    }
  }
  return { beginsAt: time.beginsAt, endsAt, endsBy };
}
