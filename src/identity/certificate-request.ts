import 'reflect-metadata';
import { generateKeyPairSync } from 'node:crypto';
import {
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { MerestoneError } from '../base/error.ts';
import { isSegment } from '../messages/segment.ts';
import { clientAuth } from './key-usage.ts';
import { encodePrivateKey } from './private-key.ts';

export interface RequestedIdentity {
  tenant: string;
  gateway: string;
  /** If set, the request also asks for a SPIFFE URI in this trust domain. */
  trustDomain?: string | undefined;
}

/**
 * A new P-256 key and a PKCS#10 request (RFC 2986) for it. The names in the request bind no one: the CA decides
 * which tenant the certificate names. Throws Usage.
 */
export async function createRequest(
  wanted: RequestedIdentity,
): Promise<{ privateKeyPem: string; requestPem: string }> {
  const { tenant, gateway, trustDomain } = wanted;
  for (const segment of [tenant, gateway]) {
    if (!isSegment(segment)) {
      throw new MerestoneError('Usage', `'${segment}' is not 1 to 64 of the characters A-Z a-z 0-9 _ -`);
    }
  }
  if (trustDomain !== undefined && !/^[a-z0-9._-]{1,255}$/.test(trustDomain)) {
    throw new MerestoneError('Usage', `'${trustDomain}' is no SPIFFE trust domain`, {
      hint: 'write a name in small letters, such as example.org',
    });
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const spiffe = `spiffe://${trustDomain}/tenant/${tenant}/gateway/${gateway}`;
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ O: [tenant] }, { CN: [gateway] }],
    keys: {
      privateKey: privateKey.toCryptoKey(algorithm, true, ['sign']),
      publicKey: publicKey.toCryptoKey(algorithm, true, ['verify']),
    },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([clientAuth]),
      ...(trustDomain === undefined
        ? []
        : [new SubjectAlternativeNameExtension([{ type: 'url', value: spiffe }])]),
    ],
  });
  return { privateKeyPem: encodePrivateKey(privateKey), requestPem: `${request.toString('pem')}\n` };
}
