import { createPrivateKey, type KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { describeKind, type FileKind, kindOf } from './file-kind.ts';
import { parsePem, type PemBlock, readIdentityFile } from './pem.ts';
import { readPkcs12 } from './pkcs12.ts';
import { readPkcs7 } from './pkcs7.ts';
import { isPrivateKey, parsePrivateKey } from './private-key.ts';

/** The certificates and keys in a file that a CA or a colleague sent. */
export interface IdentitySource {
  certificates: Certificate[];
  keys: { path: string; key: KeyObject }[];
}

/**
 * Certificates and keys of a file in any usual format: PEM, DER, PKCS#7, PKCS#12.
 * Throws IdentityMissing, FileUnreadable, IdentityRefused.
 */
export function readSource(path: string, password: string): IdentitySource {
  const bytes = readIdentityFile(path, 'certificate');
  const kind = kindOf(bytes);
  const parse = (der: Buffer): Certificate => parseCertificate(der, path);
  switch (kind) {
    case 'certificate':
      return { certificates: [parse(bytes)], keys: [] };
    case 'pkcs7':
      return { certificates: readPkcs7(bytes, path).map(parse), keys: [] };
    case 'pkcs12': {
      const { certificates, keys } = readPkcs12(bytes, password, path);
      return { certificates: certificates.map(parse), keys: keys.map((key) => ({ path, key })) };
    }
    case 'private-key':
      return { certificates: [], keys: [{ path, key: keyOf(bytes, path) }] };
    case 'pem':
      return readPemSource(bytes, path);
    case 'request':
    case 'encrypted-key':
    case 'java-keystore':
    case 'unknown':
      throw foreign(kind, path);
  }
}

function readPemSource(bytes: Buffer, path: string): IdentitySource {
  const blocks = parsePem(bytes, path);
  const certificates = blocks.flatMap((block) => certificatesOf(block, path));
  const keys = blocks.filter(isPrivateKey).map((block) => ({ path, key: parsePrivateKey(block, path) }));
  if (certificates.length > 0 || keys.length > 0) return { certificates, keys };
  throw foreign(blocks.some(({ label }) => label.endsWith('REQUEST')) ? 'request' : 'unknown', path);
}

function certificatesOf({ label, der }: PemBlock, path: string): Certificate[] {
  if (/^(?:X509 )?CERTIFICATE$/.test(label)) return [parseCertificate(der, path)];
  if (!/^(?:PKCS7|PKCS #7 SIGNED DATA|CMS)$/.test(label)) return [];
  return readPkcs7(der, path).map((each) => parseCertificate(each, path));
}

function keyOf(der: Buffer, path: string): KeyObject {
  for (const type of ['pkcs8', 'sec1', 'pkcs1'] as const) {
    try {
      return createPrivateKey({ key: der, format: 'der', type });
    } catch {
      // Not this type: try the next.
    }
  }
  throw new MerestoneError('IdentityRefused', 'this is no proper private key', {
    subject: path,
    hint: 'copy the file again, whole',
  });
}

function foreign(kind: FileKind, path: string): MerestoneError {
  const { what, hint } = describeKind(kind, path) ?? {
    what: 'neither a certificate nor a key',
    hint: 'give what the CA sent: PEM, DER (.cer), PKCS#7 (.p7b) or PKCS#12 (.p12, .pfx)',
  };
  return new MerestoneError('IdentityRefused', `this is ${what}`, { subject: path, hint });
}
