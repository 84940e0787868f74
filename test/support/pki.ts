import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { IdentityOptions } from '../../src/identity/options.ts';

export { createAuthority } from '../../src/simulator/certificate-authority.ts';

const yearMs = 365 * 86_400_000;

export const clientAuth = '1.3.6.1.5.5.7.3.2';
export const serverAuth = '1.3.6.1.5.5.7.3.1';
export const { digitalSignature, keyAgreement, keyCertSign } = KeyUsageFlags;

const keyKinds = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa1024: rsa(1024),
  rsa2048: rsa(2048),
  rsa5120: rsa(5120),
  ed25519: { name: 'Ed25519' },
} as const;

function rsa(modulusLength: number) {
  return {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength,
  };
}

/** A certificate to be made; what is left out makes a good one of tenant acme's gateway acme_gw-0001. */
export interface Shape {
  /** A Name in DER, see `name`. */
  subject?: Buffer;
  /** GeneralNames in DER, see `uri`. */
  alternativeNames?: readonly Buffer[];
  key?: keyof typeof keyKinds;
  /** In place of new ones of `key`: two certificates of one key. */
  keys?: webcrypto.CryptoKeyPair;
  /** Null leaves the extension out. */
  extendedKeyUsages?: readonly string[] | null;
  keyUsages?: KeyUsageFlags | null;
  authority?: boolean;
  pathLength?: number;
  /** The extension's value in DER, in place of what `authority` and `pathLength` make. */
  basicConstraints?: Buffer;
  notBefore?: Date;
  notAfter?: Date;
  extensions?: readonly Extension[];
  /** Of the signature over it. */
  hash?: string;
}

export interface Holder {
  certificatePem: string;
  privateKeyPem: string;
  der: Buffer;
  subject: Buffer;
  keys: webcrypto.CryptoKeyPair;
}

/** Makes exactly this certificate, self-signed without an issuer. */
export async function makeCertificate(shape: Shape = {}, issuer?: Holder): Promise<Holder> {
  const algorithm = keyKinds[shape.key ?? 'p256'];
  const keys = shape.keys ?? (await generateKeys(algorithm));
  const subject = shape.subject ?? name({ O: 'acme' }, { CN: 'acme_gw-0001' });
  const signer = (issuer?.keys ?? keys).privateKey;
  const certificate = await X509CertificateGenerator.create({
    subject: new Name(subject),
    issuer: new Name(issuer?.subject ?? subject),
    notBefore: shape.notBefore ?? new Date(Date.now() - yearMs),
    notAfter: shape.notAfter ?? new Date(Date.now() + yearMs),
    publicKey: keys.publicKey,
    signingKey: signer,
    signingAlgorithm: { ...signer.algorithm, hash: shape.hash ?? 'SHA-256' },
    extensions: [
      ...extensionsOf(shape),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create((issuer?.keys ?? keys).publicKey),
    ],
  });
  const der = Buffer.from(certificate.rawData);
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKeyPem: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    der,
    subject,
    keys,
  };
}

async function generateKeys(
  algorithm: (typeof keyKinds)[keyof typeof keyKinds],
): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

export function makeAuthority(shape: Shape = {}, issuer?: Holder): Promise<Holder> {
  return makeCertificate(
    { subject: name({ CN: 'Test CA' }), authority: true, extendedKeyUsages: null, ...shape },
    issuer,
  );
}

function extensionsOf(shape: Shape): Extension[] {
  const { authority = false, pathLength, alternativeNames, extensions = [] } = shape;
  const signs = authority ? KeyUsageFlags.keyCertSign : KeyUsageFlags.digitalSignature;
  const keyUsages = shape.keyUsages === undefined ? signs : shape.keyUsages;
  const extendedKeyUsages = shape.extendedKeyUsages === undefined ? [clientAuth] : shape.extendedKeyUsages;
  return [
    shape.basicConstraints === undefined
      ? new BasicConstraintsExtension(authority, pathLength, true)
      : new Extension('2.5.29.19', true, shape.basicConstraints),
    ...(keyUsages === null ? [] : [new KeyUsagesExtension(keyUsages, true)]),
    ...(extendedKeyUsages === null ? [] : [new ExtendedKeyUsageExtension([...extendedKeyUsages])]),
    ...(alternativeNames === undefined ? [] : [subjectAlternativeName(alternativeNames)]),
    ...extensions,
  ];
}

export function extension(oid: string, critical: boolean, value: Buffer): Extension {
  return new Extension(oid, critical, value);
}

export function subjectAlternativeName(names: readonly Buffer[]): Extension {
  return new Extension('2.5.29.17', false, der(0x30, ...names));
}

export function nameConstraints(permitted: readonly Buffer[], excluded: readonly Buffer[]): Extension {
  const subtrees = (tag: number, bases: readonly Buffer[]): Buffer[] =>
    bases.length === 0 ? [] : [der(tag, ...bases.map((base) => der(0x30, base)))];
  return new Extension(
    '2.5.29.30',
    true,
    der(0x30, ...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded)),
  );
}

/** One element of DER: short and long lengths both. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const attributeTypes: Record<string, number[]> = {
  CN: [2, 5, 4, 3],
  C: [2, 5, 4, 6],
  O: [2, 5, 4, 10],
  OU: [2, 5, 4, 11],
};

const utf8String = 0x0c;

/** One attribute of a name: `O` and its text, in UTF-8 unless another tag and other bytes are given. */
export function attribute(type: string, text: string | Uint8Array, tag: number = utf8String): Buffer {
  const [first = 0, second = 0, ...rest] = attributeTypes[type]!;
  return der(0x30, der(0x06, Buffer.from([first * 40 + second, ...rest])), der(tag, Buffer.from(text)));
}

/** A Name of relative names, each either `{ O: 'acme' }` or attributes that make up one set. */
export function name(
  ...relatives: readonly (Readonly<Record<string, string>> | readonly Buffer[])[]
): Buffer {
  const sets = relatives.map((relative) =>
    Array.isArray(relative)
      ? (relative as readonly Buffer[])
      : Object.entries(relative as Record<string, string>).map(([type, text]) => attribute(type, text)),
  );
  return der(0x30, ...sets.map((attributes) => der(0x31, ...attributes)));
}

/** A GeneralName that is a URI. */
export function uri(text: string): Buffer {
  return der(0x86, Buffer.from(text, 'latin1'));
}

/** A GeneralName that is a DNS name. */
export function dns(text: string): Buffer {
  return der(0x82, Buffer.from(text, 'latin1'));
}

/** A GeneralName that is a directory name. */
export function directory(subject: Buffer): Buffer {
  return der(0xa4, subject);
}

/** Writes a silo's three files, and says where they are. */
export function writeIdentity(
  folder: string,
  files: { certificate: string; privateKey: string; trust: string },
): IdentityOptions {
  const paths = {
    certificate: join(folder, 'gateway.crt'),
    privateKey: join(folder, 'gateway.key'),
    trust: join(folder, 'tenant-ca.crt'),
  };
  writeFileSync(paths.certificate, files.certificate);
  writeFileSync(paths.privateKey, files.privateKey, { mode: 0o600 });
  writeFileSync(paths.trust, files.trust);
  return paths;
}
