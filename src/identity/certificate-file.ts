import { MerestoneError } from '../base/error.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { parsePem, readIdentityFile } from './pem.ts';

/** The certificates of a PEM file, at least one. Throws IdentityMissing, FileUnreadable, IdentityRefused. */
export function readCertificates(path: string, what = 'certificate'): [Certificate, ...Certificate[]] {
  const [first, ...more] = parsePem(readIdentityFile(path, what).toString('latin1'), path)
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => parseCertificate(der, path));
  if (first !== undefined) return [first, ...more];
  throw new MerestoneError('IdentityRefused', 'the file holds no certificate in PEM', {
    subject: path,
    hint: 'convert it (openssl x509 -inform DER), or name the right file',
  });
}

/** The CA certificates of identity.trust. */
export function readAnchors(path: string): [Certificate, ...Certificate[]] {
  return readCertificates(path, 'CA certificate');
}
