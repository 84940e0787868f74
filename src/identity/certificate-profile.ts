import { MerestoneError } from '../base/error.ts';
import { isSegment } from '../messages/segment.ts';
import type { Certificate } from './certificate.ts';
import { Tag } from './der.ts';
import type { NameAttribute } from './general-name.ts';
import { clientAuth, KeyUsage } from './key-usage.ts';
import { quote } from './quote.ts';

/** The tenant and gateway that a certificate claims: unproven until its chain is verified. */
export interface Claim {
  tenantId: string;
  gatewayId: string;
  warnings: readonly string[];
}

const spiffePattern =
  /^spiffe:\/\/[a-z0-9._-]{1,255}\/tenant\/([A-Za-z0-9_-]{1,64})\/gateway\/([A-Za-z0-9_-]{1,64})$/;

const subjectParts = {
  O: { oid: '2.5.4.10', names: 'the tenant' },
  CN: { oid: '2.5.4.3', names: 'the gateway' },
} as const;

/** String types that encode ASCII as ASCII; programs may read other types as other letters. */
const stringTags: ReadonlySet<number> = new Set([Tag.Utf8String, Tag.PrintableString, Tag.Ia5String]);

/** Reads a gateway certificate by the profile of docs/identity.md. Throws IdentityRefused with the reason. */
export function readClaim(certificate: Certificate): Claim {
  const { subject } = certificate;
  if (subject.some((relative) => relative.length !== 1)) {
    throw refusal(certificate, 'the subject has a relative name of several parts (multi-valued RDN)');
  }
  const attributes = subject.flat();
  const tenantId = readSegment(certificate, attributes, 'O');
  const gatewayId = readSegment(certificate, attributes, 'CN');
  checkSpiffe(certificate, tenantId, gatewayId);
  checkUsage(certificate);
  checkKey(certificate);
  const prefixed = gatewayId.startsWith(`${tenantId}_`);
  return {
    tenantId,
    gatewayId,
    warnings: prefixed
      ? []
      : [
          `CN ${quote(gatewayId)} does not begin with '${tenantId}_': a broker that knows clients by CN alone ` +
            `would take another tenant's ${quote(gatewayId)} for this one`,
        ],
  };
}

function readSegment(
  certificate: Certificate,
  attributes: readonly NameAttribute[],
  part: 'O' | 'CN',
): string {
  const { oid, names } = subjectParts[part];
  const [attribute, ...more] = attributes.filter(({ type }) => type === oid);
  if (attribute === undefined) throw refusal(certificate, `the subject has no ${part}, which names ${names}`);
  if (more.length > 0) {
    throw refusal(
      certificate,
      `the subject has ${more.length + 1} ${part}s, and ${names} must have one name`,
    );
  }
  if (!stringTags.has(attribute.tag)) throw foreignString(certificate, part, attribute.tag);
  const text = attribute.value.toString('utf8');
  if (text === '') throw refusal(certificate, `${part}, which names ${names}, is empty`);
  if (!isSegment(text)) {
    throw refusal(certificate, `${part} ${quote(text)} is not 1 to 64 of the characters A-Z a-z 0-9 _ -`);
  }
  return text;
}

/** Names of the string types that X.520 also allows and that programs read differently. */
const foreignStrings: Readonly<Record<number, string>> = {
  0x12: 'NumericString',
  0x14: 'T61String (TeletexString)',
  0x16: 'IA5String',
  0x1a: 'VisibleString',
  0x1c: 'UniversalString',
  0x1e: 'BMPString',
};

function foreignString(certificate: Certificate, part: 'O' | 'CN', tag: number): MerestoneError {
  const name = foreignStrings[tag];
  const type = `string type 0x${tag.toString(16)}${name === undefined ? '' : `, ${name}`}`;
  const reason = `${part} is of ${type}, not UTF8String or PrintableString`;
  const hint =
    "have the CA write names as UTF8String (openssl: string_mask = utf8only), and issue the certificate again: a name with '_' does not fit a PrintableString, and some tools then take this type, whose bytes other programs read as other letters";
  return refusal(certificate, reason, hint);
}

function checkSpiffe(certificate: Certificate, tenantId: string, gatewayId: string): void {
  const uris = certificate.alternativeNames
    .map((name) => name.uri ?? '')
    .filter((uri) => /^spiffe:/i.test(uri));
  const [uri, ...more] = uris;
  if (uri === undefined) return;
  if (more.length > 0) throw refusal(certificate, `it has ${uris.length} SPIFFE URIs, and may have one`);
  const match = spiffePattern.exec(uri);
  if (match === null) {
    throw refusal(certificate, `${quote(uri)} is not spiffe://DOMAIN/tenant/TENANT/gateway/GATEWAY`);
  }
  if (match[1] !== tenantId || match[2] !== gatewayId) {
    throw refusal(
      certificate,
      `the SPIFFE URI names tenant '${match[1]}' and gateway '${match[2]}', ` +
        `the subject '${tenantId}' and '${gatewayId}'`,
    );
  }
}

function checkUsage(certificate: Certificate): void {
  const { isAuthority, keyUsages, extendedKeyUsages, unknownCritical } = certificate;
  if (isAuthority || keyUsages?.has(KeyUsage.certSign)) {
    throw refusal(certificate, "it is a CA's certificate, not a gateway's");
  }
  if (!extendedKeyUsages?.includes(clientAuth)) {
    throw refusal(certificate, 'its extended key usage does not allow clientAuth');
  }
  if (keyUsages !== undefined && !keyUsages.has(KeyUsage.digitalSignature)) {
    throw refusal(certificate, 'its key usage does not allow digitalSignature');
  }
  if (unknownCritical.length > 0) {
    throw refusal(
      certificate,
      `it has a critical extension that is not known here (${unknownCritical.join(', ')})`,
    );
  }
}

function checkKey(certificate: Certificate): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey;
  if (type === 'ec') {
    if (details?.namedCurve === 'prime256v1') return;
    throw refusal(certificate, `its key is on the curve ${details?.namedCurve ?? 'of its own'}, not P-256`);
  }
  if (type !== 'rsa') throw refusal(certificate, `its key is of type ${type}, not EC P-256 or RSA`);
  const bits = details?.modulusLength ?? 0;
  if (bits < 2048) throw refusal(certificate, `its RSA key has ${bits} bits, and 2048 are the least`);
}

function refusal(
  certificate: Certificate,
  reason: string,
  hint = 'have the certificate issued again by the profile in docs/identity.md',
): MerestoneError {
  return new MerestoneError('IdentityRefused', reason, {
    subject: certificate.path,
    hint,
  });
}
