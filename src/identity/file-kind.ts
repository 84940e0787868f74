import { X509Certificate } from 'node:crypto';

/** The kinds of files that people give as a certificate or a key. */
export type FileKind =
  | 'pem'
  | 'certificate'
  | 'request'
  | 'pkcs7'
  | 'pkcs12'
  | 'private-key'
  | 'encrypted-key'
  | 'java-keystore'
  | 'unknown';

/** JKS and JCEKS. */
const javaMagics: ReadonlySet<string> = new Set(['feedfeed', 'cececece']);

/** The kind by the first bytes: DER begins with a SEQUENCE, whose first parts identify the type. */
export function kindOf(bytes: Buffer): FileKind {
  if (javaMagics.has(bytes.toString('hex', 0, 4))) return 'java-keystore';
  if (bytes[0] !== sequence) return textOf(bytes).includes('-----BEGIN ') ? 'pem' : 'unknown';
  const first = contentAt(bytes, 0);
  // PFX has version 3, PrivateKeyInfo and RSAPrivateKey 0, ECPrivateKey 1, OneAsymmetricKey 0 or 1.
  if (bytes[first] === integer) return bytes[first + 2] === 3 ? 'pkcs12' : 'private-key';
  if (bytes[first] === objectIdentifier) return 'pkcs7';
  if (bytes[first] !== sequence) return 'unknown';
  const second = contentAt(bytes, first);
  if (bytes[second] === objectIdentifier) return 'encrypted-key';
  if (isCertificate(bytes)) return 'certificate';
  return bytes[second] === integer && bytes[second + 2] === 0 ? 'request' : 'unknown';
}

/** The kind in a user's words, and how to convert it to PEM; undefined for a kind that needs no advice. */
export function describeKind(kind: FileKind, path: string): { what: string; hint: string } | undefined {
  switch (kind) {
    case 'certificate':
      return { what: 'a certificate in DER', hint: convert('x509 -inform DER', path) };
    case 'request':
      return {
        what: 'a certificate request, not a certificate',
        hint: 'send it to the CA, and use its answer',
      };
    case 'pkcs7':
      return { what: 'a PKCS#7 bundle (.p7b)', hint: convert('pkcs7 -inform DER -print_certs', path) };
    case 'pkcs12':
      return { what: 'a PKCS#12 file', hint: `put it in place with merestone identity install ${path}` };
    case 'private-key':
      return { what: 'a private key in DER', hint: convert('pkey -inform DER', path) };
    case 'encrypted-key':
      return { what: 'an encrypted private key in DER', hint: convert('pkcs8 -inform DER', path) };
    case 'java-keystore':
      return {
        what: 'a Java keystore',
        hint: `turn it into PKCS#12: keytool -importkeystore -srckeystore ${path} -destkeystore identity.p12 -deststoretype PKCS12`,
      };
    case 'pem':
    case 'unknown':
      return undefined;
  }
}

function convert(command: string, path: string): string {
  return `turn it into PEM: openssl ${command} -in ${path} -out ${path}.pem`;
}

/** PEM is ASCII; Windows tools also write it as UTF-16, with a mark at the front or without. */
export function textOf(bytes: Buffer): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return bytes.toString('utf16le', 2);
  if (first === 0xfe && second === 0xff) return bigEndian(bytes.subarray(2));
  if (first === 0x2d && second === 0) return bytes.toString('utf16le');
  if (first === 0 && second === 0x2d) return bigEndian(bytes);
  return bytes.toString('latin1');
}

function bigEndian(bytes: Buffer): string {
  const whole = bytes.subarray(0, bytes.length - (bytes.length % 2));
  return Buffer.from(whole).swap16().toString('utf16le');
}

const [integer, objectIdentifier, sequence] = [0x02, 0x06, 0x30];

/** Where the content of the element at `at` begins; BER's lengths too. */
function contentAt(bytes: Buffer, at: number): number {
  const length = bytes[at + 1] ?? 0;
  return at + 2 + (length > 0x80 ? length & 0x7f : 0);
}

function isCertificate(bytes: Buffer): boolean {
  try {
    return new X509Certificate(bytes).raw.length > 0;
  } catch {
    return false;
  }
}
