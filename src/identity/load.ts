import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import type { IdentityOptions } from './options.ts';
import { encodePem, parsePem, readIdentityFile } from './pem.ts';
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

/** The gateway's own and its intermediates. It bounds the ways that a chain is looked for. */
const chainFileMax = 10;

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
  const [leaf, ...intermediates] = readCertificates(options.certificate, 'certificate');
  if (leaf === undefined) throw noCertificate(options.certificate, 'IdentityRefused');
  if (intermediates.length >= chainFileMax) {
    throw new MerestoneError('IdentityRefused', `more than ${chainFileMax} certificates in one file`, {
      subject: options.certificate,
      hint: "it should hold the gateway's certificate and its intermediate CAs; a bundle belongs in identity.trust",
    });
  }
  const anchors = readCertificates(options.trust, 'CA certificate');
  if (anchors.length === 0) throw noCertificate(options.trust, 'IdentityUntrusted');
  const nowMs = clock === 'good' ? wallMs : Math.max(wallMs, leaf.notBefore);
  const identity = TenantIdentity.verify({ leaf, intermediates, anchors, nowMs });
  const key = readPrivateKey(options.privateKey);
  if (!leaf.x509.checkPrivateKey(key)) {
    throw new MerestoneError('IdentityKeyMismatch', `this is not the key of ${options.certificate}`, {
      subject: options.privateKey,
      hint: 'put the key beside the certificate that was issued for it',
    });
  }
  const chain = [leaf, ...intermediates];
  return {
    identity,
    certificatePem: chain.map(({ x509 }) => encodePem('CERTIFICATE', x509.raw)).join(''),
    privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    signer: createSigner(leaf, chain, key),
  };
}

function readCertificates(path: string, what: string): Certificate[] {
  const text = readIdentityFile(path, what).toString('latin1');
  return parsePem(text, path)
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => parseCertificate(der, path));
}

function readPrivateKey(path: string): KeyObject {
  const what = 'private key';
  const blocks = parsePem(readIdentityFile(path, what).toString('latin1'), path);
  const [block, ...more] = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'));
  if (block === undefined || more.length > 0) {
    const count = block === undefined ? 'no' : `${more.length + 1}`;
    throw new MerestoneError(
      'IdentityRefused',
      `the file holds ${count} private keys in PEM, and needs one`,
      {
        subject: path,
      },
    );
  }
  if (block.text.includes('ENCRYPTED')) {
    throw new MerestoneError('IdentityRefused', 'the private key is encrypted, and nobody is there to type', {
      subject: path,
      hint: `decrypt it (openssl pkey -in ${path}), and keep the result readable for Merestone only`,
    });
  }
  try {
    return createPrivateKey(block.text);
  } catch (error) {
    throw new MerestoneError('IdentityRefused', 'this is no proper private key', {
      subject: path,
      hint: 'copy the file again, whole',
      cause: error,
    });
  }
}

function noCertificate(path: string, code: 'IdentityRefused' | 'IdentityUntrusted'): MerestoneError {
  return new MerestoneError(code, 'the file holds no certificate in PEM', {
    subject: path,
    hint: 'convert it (openssl x509 -inform DER), or name the right file',
  });
}
