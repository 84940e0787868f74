import { X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import { readExtensions } from './certificate-extension.ts';
import type { CertificateExtensions } from './certificate-extension.ts';
import { contextTag, DerError, DerParts, readElement, readSmallInteger, Tag } from './der.ts';
import type { DerElement } from './der.ts';
import { readName } from './general-name.ts';
import type { DistinguishedName } from './general-name.ts';
import { quote } from './quote.ts';

/**
 * A certificate as strictly parsed from its DER. Node's X509Certificate renders names as lines of text, in which one
 * attribute can look like two, so only signatures and keys come from node (`x509`).
 */
export interface Certificate extends CertificateExtensions {
  /** The file that it came from. */
  path: string;
  x509: X509Certificate;
  publicKey: KeyObject;
  /** Of the DER, 64 hex digits. */
  fingerprintSha256: string;
  /** For people: `'CN=acme_gw-0001'`. */
  title: string;
  issuerTitle: string;
  subject: DistinguishedName;
  /** The names as encoded: a CA copies its own, to the byte, into what it issues (RFC 5280 §4.1.2.4). */
  subjectDer: Buffer;
  issuerDer: Buffer;
  notBefore: number;
  notAfter: number;
}

/** Reads one certificate. Throws IdentityRefused where it is no certificate in proper DER. */
export function parseCertificate(der: Buffer, path: string): Certificate {
  const x509 = readWhole(der, path);
  try {
    return { path, ...readByNode(x509), ...readCertificate(x509.raw) };
  } catch (error) {
    throw improper(path, error, wrongAtTheCa);
  }
}

/** For a file that OpenSSL reads: it is not damaged, so another copy would not help; the CA must issue it again. */
const wrongAtTheCa =
  "it came whole, but is not written as DER wants it (X.690), which the CA's own tool does: have that corrected, and the certificate issued again";

function readWhole(der: Buffer, path: string): X509Certificate {
  try {
    const x509 = new X509Certificate(der);
    if (!x509.raw.equals(der)) throw new DerError('bytes beyond the certificate');
    return x509;
  } catch (error) {
    const hint = 'copy the file again, whole, or have the certificate issued again';
    throw improper(path, ownReason(der) ?? error, hint);
  }
}

/** Our own reason: OpenSSL tries to read broken DER as PEM and reports a missing first line, which does not help. */
function ownReason(der: Buffer): DerError | undefined {
  try {
    readCertificate(der);
    return undefined;
  } catch (error) {
    return error instanceof DerError ? error : undefined;
  }
}

function improper(path: string, error: unknown, hint: string): MerestoneError {
  return new MerestoneError('IdentityRefused', `this is no proper certificate (${reasonOf(error)})`, {
    subject: path,
    hint,
    cause: error,
  });
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue } (RFC 5280 §4.1). */
function readCertificate(der: Buffer): Omit<Certificate, 'path' | ByNode> {
  const parts = new DerParts(readElement(der, Tag.Sequence).content, 'a certificate');
  const tbs = parts.take(Tag.Sequence);
  const algorithm = parts.take(Tag.Sequence);
  parts.take(Tag.BitString);
  parts.end();
  const { signature, ...read } = readTbs(tbs.content);
  if (!signature.equals(algorithm.encoding)) throw new DerError('two different signature algorithms');
  return read;
}

/** TBSCertificate (§4.1): each part in its place, and no other part. */
function readTbs(content: Buffer): Omit<Certificate, 'path' | ByNode> & { signature: Buffer } {
  const parts = new DerParts(content, 'a certificate');
  const version = readVersion(parts.takeIf(contextTag(0, true)));
  parts.take(Tag.Integer); // its serial number, which decides nothing here
  const signature = parts.take(Tag.Sequence).encoding;
  const issuer = parts.take(Tag.Sequence);
  checkValidity(parts.take(Tag.Sequence));
  const subject = parts.take(Tag.Sequence);
  parts.take(Tag.Sequence); // its public key, which node reads
  parts.takeIf(contextTag(1, false));
  parts.takeIf(contextTag(2, false));
  const wrapped = parts.takeIf(contextTag(3, true));
  parts.end();
  if (wrapped !== undefined && version !== 3)
    throw new DerError('extensions in a certificate before version 3');
  if (readName(issuer.content).length === 0) throw new DerError('an issuer without a name');
  return {
    signature,
    subject: readName(subject.content),
    subjectDer: subject.encoding,
    issuerDer: issuer.encoding,
    ...readExtensions(wrapped),
  };
}

/** [0] EXPLICIT INTEGER, one less than the version; version 1 is the default, and left out (X.690 §11.5). */
function readVersion(wrapped: DerElement | undefined): number {
  if (wrapped === undefined) return 1;
  const version = readSmallInteger(readElement(wrapped.content, Tag.Integer)) + 1;
  if (version !== 2 && version !== 3) throw new DerError(`a certificate of version ${version}`);
  return version;
}

/** Times have their seconds, are UTC and have no fractions (§4.1.2.5); node reads what they say. */
function checkValidity({ content }: DerElement): void {
  const parts = new DerParts(content, 'a validity');
  for (let times = 0; times < 2; times++) {
    const { tag, content: text } = parts.takeAny();
    const digits = tag === Tag.UtcTime ? 12 : tag === Tag.GeneralizedTime ? 14 : undefined;
    if (digits === undefined || !new RegExp(`^\\d{${digits}}Z$`).test(text.toString('latin1'))) {
      throw new DerError('a time of the wrong shape');
    }
  }
  parts.end();
}

type ByNode = 'x509' | 'publicKey' | 'fingerprintSha256' | 'title' | 'issuerTitle' | 'notBefore' | 'notAfter';

function readByNode(x509: X509Certificate): Pick<Certificate, ByNode> {
  const notBefore = x509.validFromDate.getTime();
  const notAfter = x509.validToDate.getTime();
  if (Number.isNaN(notBefore) || Number.isNaN(notAfter)) throw new DerError('an invalid time');
  return {
    x509,
    publicKey: x509.publicKey,
    fingerprintSha256: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
    title: titleOf(x509.subject),
    issuerTitle: titleOf(x509.issuer),
    notBefore,
    notAfter,
  };
}

/** Node renders a name as lines; the last has the most specific part. */
function titleOf(name: string | undefined): string {
  return quote(name?.split('\n').at(-1) ?? '');
}

/** OpenSSL's messages carry its own file names and codes; the last part is the reason. */
function reasonOf(error: unknown): string {
  if (error instanceof DerError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return message.split(':').at(-1) ?? message;
}
