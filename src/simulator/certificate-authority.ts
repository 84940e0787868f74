import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Extension, JsonGeneralName, JsonName } from '@peculiar/x509';

export interface IssuedCertificate {
  certificatePem: string;
  /** PKCS#8. */
  privateKeyPem: string;
}

interface CertificateRequest {
  /** O: the tenant, in a gateway's certificate. */
  organization?: string;
  /** CN: the gateway, in a gateway's certificate. */
  commonName: string;
  /** The SPIFFE URI, whole. */
  spiffe?: string;
  /** Dates, or ms since 1970 UTC; an hour ago and a year ahead where left out. */
  notBefore?: Date | number;
  notAfter?: Date | number;
  /** A server's certificate, for these names. */
  server?: { dnsNames?: readonly string[]; ipAddresses?: readonly string[] };
  /** Usable as a client; the default where it is not a server's. */
  client?: boolean;
}

/** A certificate authority for the demo and the tests: P-256, in memory. */
export interface Authority extends IssuedCertificate {
  issue(request: CertificateRequest): Promise<IssuedCertificate>;
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;

export async function createAuthority(commonName: string): Promise<Authority> {
  const keys = await generateKeys();
  const keyId = await SubjectKeyIdentifierExtension.create(keys.publicKey);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [commonName] }],
    ...validity({}),
    keys,
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      keyId,
    ],
  });

  async function issue(request: CertificateRequest): Promise<IssuedCertificate> {
    const own = await generateKeys();
    const issued = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: subjectOf(request),
      issuer: certificate.subjectName,
      ...validity(request),
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm,
      extensions: [
        ...extensionsOf(request),
        await AuthorityKeyIdentifierExtension.create(keys.publicKey),
        await SubjectKeyIdentifierExtension.create(own.publicKey),
      ],
    });
    return { certificatePem: pemOf(issued), privateKeyPem: await privateKeyPemOf(own) };
  }

  return { certificatePem: pemOf(certificate), privateKeyPem: await privateKeyPemOf(keys), issue };
}

function subjectOf({ organization, commonName }: CertificateRequest): JsonName {
  return [...(organization === undefined ? [] : [{ O: [organization] }]), { CN: [commonName] }];
}

function extensionsOf({ server, client, spiffe }: CertificateRequest): Extension[] {
  const usages: ExtendedKeyUsage[] = [];
  if (client ?? server === undefined) usages.push(ExtendedKeyUsage.clientAuth);
  if (server !== undefined) usages.push(ExtendedKeyUsage.serverAuth);
  const names: JsonGeneralName[] = [
    ...(server?.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(server?.ipAddresses ?? []).map((value) => ({ type: 'ip' as const, value })),
    ...(spiffe === undefined ? [] : [{ type: 'url' as const, value: spiffe }]),
  ];
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
  ];
}

function validity({ notBefore, notAfter }: Pick<CertificateRequest, 'notBefore' | 'notAfter'>): {
  notBefore: Date;
  notAfter: Date;
} {
  const now = Date.now();
  return { notBefore: new Date(notBefore ?? now - hourMs), notAfter: new Date(notAfter ?? now + yearMs) };
}

/** 127 random bits: positive, and never as long as the 20 octets of RFC 5280 §4.1.2.2. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

function pemOf(certificate: { toString(format: 'pem'): string }): string {
  return `${certificate.toString('pem')}\n`;
}

async function privateKeyPemOf(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return `${PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`;
}
