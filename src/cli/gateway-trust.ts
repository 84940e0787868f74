import type { VouchFor } from '../backend/signature.ts';
import { MerestoneError } from '../base/error.ts';
import { parseCertificate, type Certificate } from '../identity/certificate.ts';
import { readCertificates } from '../identity/certificate-file.ts';
import { TenantIdentity } from '../identity/tenant-identity.ts';
import { isSegment } from '../messages/segment.ts';

/** A verification takes as long as the key is large; no CA has a larger one. */
const rsaBitsMax = 8192;
const rsaExponentMax = 0xffff_ffffn;

/** Names and constraints are compared each with each; real certificates have a handful. */
const namesMax = 64;

/**
 * Whose signatures are trusted: `FILE` holds CAs that may certify any tenant, `TENANT=FILE` CAs for that
 * tenant, which then has no others, so that one tenant's CA cannot issue in another's name.
 * Throws Usage, IdentityMissing, IdentityUntrusted and what reading certificates throws.
 */
export function loadGatewayTrust(sources: readonly string[]): VouchFor {
  const general: Certificate[] = [];
  const byTenant = new Map<string, Certificate[]>();
  for (const source of sources) {
    const [, tenant, path] = /^(?:([^=/]*)=)?(.*)$/s.exec(source)!;
    if (tenant !== undefined && !isSegment(tenant)) {
      throw new MerestoneError('Usage', `'${tenant}' in --trust ${source} is no tenant`, {
        hint: 'write --trust FILE, or --trust TENANT=FILE',
      });
    }
    const anchors = tenant === undefined ? general : (byTenant.get(tenant) ?? []);
    if (tenant !== undefined) byTenant.set(tenant, anchors);
    anchors.push(...readCertificates(path!, 'CA certificate'));
  }
  return (chain, tenant, atMs) => {
    const [leaf, ...intermediates] = chain.map(readCertificate);
    const anchors = byTenant.get(tenant) ?? general;
    const identity = TenantIdentity.verify({ leaf: leaf!, intermediates, anchors, nowMs: atMs });
    const { tenantId, gatewayId: gateway, fingerprintSha256, notBefore, notAfter } = identity;
    return { tenant: tenantId, gateway, fingerprintSha256, notBefore, notAfter };
  };
}

/** Refuses certificates that cost more to verify than valid ones do. Throws IdentityRefused. */
function readCertificate(der: Buffer): Certificate {
  const certificate = parseCertificate(der, 'x5c');
  const { publicKey, alternativeNames, nameConstraints } = certificate;
  const { modulusLength = 0, publicExponent = 0n } = publicKey.asymmetricKeyDetails ?? {};
  if (modulusLength > rsaBitsMax || publicExponent > rsaExponentMax) {
    throw new MerestoneError('IdentityRefused', `${certificate.title} has a larger key than any CA makes`);
  }
  const { permitted = [], excluded = [] } = nameConstraints ?? {};
  if (Math.max(alternativeNames.length, permitted.length, excluded.length) > namesMax) {
    throw new MerestoneError('IdentityRefused', `${certificate.title} has more than ${namesMax} names`);
  }
  return certificate;
}
