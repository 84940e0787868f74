import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import type { Certificate } from './certificate.ts';
import { describeKind, kindOf } from './file-kind.ts';
import { encodePem, parsePem, readIdentityFile } from './pem.ts';
import type { PemBlock } from './pem.ts';

/** The one private key of a PEM file. Throws IdentityMissing, FileUnreadable, IdentityRefused. */
export function readPrivateKey(path: string): KeyObject {
  const bytes = readIdentityFile(path, 'private key');
  const [block, ...more] = parsePem(bytes, path).filter(isPrivateKey);
  if (block !== undefined && more.length === 0) return parsePrivateKey(block, path);
  const foreign = block === undefined ? describeKind(kindOf(bytes), path) : undefined;
  const count = block === undefined ? 'no' : `${more.length + 1}`;
  const itself = foreign === undefined ? '' : `: it is ${foreign.what}`;
  throw new MerestoneError(
    'IdentityRefused',
    `the file holds ${count} private keys in PEM, and needs one${itself}`,
    {
      subject: path,
      hint: foreign?.hint ?? 'name the file of the key that the certificate was issued for',
    },
  );
}

export function isPrivateKey({ label }: PemBlock): boolean {
  return label.endsWith('PRIVATE KEY');
}

/** PKCS#8, SEC 1 or PKCS#1. Throws IdentityRefused. */
export function parsePrivateKey({ label, der, isEncrypted }: PemBlock, path: string): KeyObject {
  if (isEncrypted) {
    throw new MerestoneError(
      'IdentityRefused',
      'the private key is encrypted, and the daemon cannot ask for its passphrase',
      {
        subject: path,
        hint: `decrypt it (openssl pkey -in ${path}), and keep the result readable for Merestone only`,
      },
    );
  }
  try {
    return createPrivateKey(encodePem(label, der));
  } catch (error) {
    throw new MerestoneError('IdentityRefused', 'this is no proper private key', {
      subject: path,
      hint: 'copy the file again, whole',
      cause: error,
    });
  }
}

/** Throws IdentityKeyMismatch. */
export function checkPrivateKey(leaf: Certificate, { path, key }: { path: string; key: KeyObject }): void {
  if (leaf.x509.checkPrivateKey(key)) return;
  throw new MerestoneError('IdentityKeyMismatch', `this is not the key of ${leaf.path}`, {
    subject: path,
    hint: 'put the key beside the certificate that was issued for it',
  });
}

export function encodePrivateKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
