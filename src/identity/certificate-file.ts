import { MerestoneError } from '../base/error.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { describeKind, kindOf } from './file-kind.ts';
import { parsePem, readIdentityFile } from './pem.ts';

/** The certificates of a PEM file, at least one. Throws IdentityMissing, FileUnreadable, IdentityRefused. */
export function readCertificates(path: string, what = 'certificate'): [Certificate, ...Certificate[]] {
  const bytes = readIdentityFile(path, what);
  const [first, ...more] = parsePem(bytes, path)
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => parseCertificate(der, path));
  if (first !== undefined) return [first, ...more];
  const foreign = describeKind(kindOf(bytes), path);
  const itself = foreign === undefined ? '' : `: it is ${foreign.what}`;
  throw new MerestoneError('IdentityRefused', `the file holds no certificate in PEM${itself}`, {
    subject: path,
    hint: foreign?.hint ?? 'name the file of a certificate in PEM',
  });
}

/** The CA certificates of identity.trust. */
export function readAnchors(path: string): [Certificate, ...Certificate[]] {
  return readCertificates(path, 'CA certificate');
}
