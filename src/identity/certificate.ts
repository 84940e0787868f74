import { X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../base/error.ts';
import {
  contextTag,
  DerError,
  expectTag,
  readElement,
  readElements,
  readFlags,
  readObjectIdentifier,
  readSmallInteger,
  readTrue,
  Tag,
} from './der.ts';
import type { DerElement } from './der.ts';
import { quote } from './quote.ts';

/** One attribute of a distinguished name, such as O=acme. */
export interface NameAttribute {
  /** Object identifier, dotted. */
  type: string;
  /** The string type's tag; the same letters are other bytes in another type. */
  tag: number;
  value: Buffer;
}

/** A distinguished name: relative names, each of one attribute or (rarely) several. */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

/** One name of a subject alternative name or of a name constraint; only these two kinds are looked into. */
export interface GeneralName {
  /** The number of its choice in GeneralName, RFC 5280 §4.2.1.6. */
  kind: number;
  directory?: DistinguishedName;
  uri?: string;
}

interface NameConstraints {
  permitted: readonly GeneralName[];
  excluded: readonly GeneralName[];
}

/**
 * A certificate as its DER says, read strictly and by our own eyes: node's X509Certificate renders names as
 * lines of text, in which one attribute can look like two. Signatures and keys are node's (`x509`).
 */
export interface Certificate {
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
  alternativeNames: readonly GeneralName[];
  notBefore: number;
  notAfter: number;
  isAuthority: boolean;
  /** Certificates of CAs that may follow on the way to the leaf; undefined: any number. */
  pathLengthMax: number | undefined;
  /** Bit numbers of KeyUsage (RFC 5280 §4.2.1.3); undefined where the certificate does not limit it. */
  keyUsages: ReadonlySet<number> | undefined;
  /** Object identifiers; undefined where the certificate does not limit it. */
  extendedKeyUsages: readonly string[] | undefined;
  nameConstraints: NameConstraints | undefined;
  /** Critical extensions that nobody here understands: such a certificate must not be used (§4.2). */
  unknownCritical: readonly string[];
}

const Extension = {
  KeyUsage: '2.5.29.15',
  SubjectAlternativeName: '2.5.29.17',
  BasicConstraints: '2.5.29.19',
  NameConstraints: '2.5.29.30',
  ExtendedKeyUsage: '2.5.29.37',
} as const;

/** Policies decide nothing here, as in OpenSSL's default. */
const policyExtensions = ['2.5.29.32', '2.5.29.33', '2.5.29.36', '2.5.29.54'];

const understood: ReadonlySet<string> = new Set([...Object.values(Extension), ...policyExtensions]);

/** Reads one certificate. Throws IdentityRefused where it is no certificate in proper DER. */
export function parseCertificate(der: Buffer, path: string): Certificate {
  const x509 = readWhole(der, path);
  try {
    return { path, ...readByNode(x509), ...readTbs(x509.raw) };
  } catch (error) {
    throw improper(path, error, wrongAtTheCa);
  }
}

/** What OpenSSL reads came whole, so another copy would be the same: only its issuer can write it otherwise. */
const wrongAtTheCa =
  "it came whole, but is not written as DER wants it (X.690), which the CA's own tool does: have that corrected, and the certificate issued anew";

function readWhole(der: Buffer, path: string): X509Certificate {
  try {
    const x509 = new X509Certificate(der);
    if (!x509.raw.equals(der)) throw new DerError('bytes beyond the certificate');
    return x509;
  } catch (error) {
    throw improper(path, error, 'copy the file again, whole, or have the certificate issued anew');
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
function readTbs(der: Buffer): Omit<Certificate, 'path' | ByNode> {
  const [tbs] = readElements(readElement(der, Tag.Sequence).content);
  const fields = readElements(expectTag(tbs, Tag.Sequence).content);
  const versioned = fields[0]?.tag === contextTag(0, true);
  const [, , issuer, , subject] = versioned ? fields.slice(1) : fields;
  const wrapped = fields.find(({ tag }) => tag === contextTag(3, true));
  const extensions = readExtensions(wrapped);
  const constraints = extensions.get(Extension.BasicConstraints)?.value;
  const usage = extensions.get(Extension.KeyUsage)?.value;
  const extendedUsage = extensions.get(Extension.ExtendedKeyUsage)?.value;
  const names = extensions.get(Extension.SubjectAlternativeName)?.value;
  const nameLimits = extensions.get(Extension.NameConstraints)?.value;
  return {
    subject: readName(expectTag(subject, Tag.Sequence).content),
    subjectDer: expectTag(subject, Tag.Sequence).encoding,
    issuerDer: expectTag(issuer, Tag.Sequence).encoding,
    alternativeNames: names === undefined ? [] : sequenceIn(names).map(readGeneralName),
    ...readBasicConstraints(constraints),
    keyUsages: usage === undefined ? undefined : readFlags(readElement(usage, Tag.BitString)),
    extendedKeyUsages:
      extendedUsage === undefined ? undefined : sequenceIn(extendedUsage).map(readObjectIdentifier),
    nameConstraints: nameLimits === undefined ? undefined : readNameConstraints(nameLimits),
    unknownCritical: [...extensions]
      .filter(([oid, { critical }]) => critical && !understood.has(oid))
      .map(([oid]) => oid),
  };
}

function readExtensions(wrapped: DerElement | undefined): Map<string, { critical: boolean; value: Buffer }> {
  const extensions = new Map<string, { critical: boolean; value: Buffer }>();
  if (wrapped === undefined) return extensions;
  for (const each of sequenceIn(wrapped.content)) {
    const [id, ...rest] = readElements(expectTag(each, Tag.Sequence).content);
    const oid = readObjectIdentifier(expectTag(id, Tag.ObjectIdentifier));
    if (extensions.has(oid)) throw new DerError(`two extensions ${oid}`);
    const critical =
      rest[0]?.tag === Tag.Boolean && readTrue(rest[0], `the critical flag of extension ${oid}`);
    const [value, ...more] = critical ? rest.slice(1) : rest;
    if (more.length > 0) throw new DerError(`an extension ${oid} of too many parts`);
    extensions.set(oid, { critical, value: expectTag(value, Tag.OctetString).content });
  }
  return extensions;
}

/** The content of a Name: SET OF SEQUENCE { type, value }, each set one relative name. */
function readName(content: Buffer): DistinguishedName {
  return readElements(content).map((relative) =>
    readElements(expectTag(relative, Tag.Set).content).map((attribute) => {
      const [type, value, ...more] = readElements(expectTag(attribute, Tag.Sequence).content);
      if (value === undefined || more.length > 0) throw new DerError('a name attribute of the wrong shape');
      return {
        type: readObjectIdentifier(expectTag(type, Tag.ObjectIdentifier)),
        tag: value.tag,
        value: value.content,
      };
    }),
  );
}

/** GeneralName's choices are context-specific tags: [0], [3], [4] and [5] hold elements, the others bytes. */
function readGeneralName({ tag, content }: DerElement): GeneralName {
  const kind = tag & 0x1f;
  if (tag !== contextTag(kind, [0, 3, 4, 5].includes(kind))) {
    throw new DerError('an alternative name of the wrong shape');
  }
  if (kind === 4) return { kind, directory: readName(readElement(content, Tag.Sequence).content) };
  return kind === 6 ? { kind, uri: content.toString('latin1') } : { kind };
}

function readBasicConstraints(value: Buffer | undefined): Pick<Certificate, 'isAuthority' | 'pathLengthMax'> {
  if (value === undefined) return { isAuthority: false, pathLengthMax: undefined };
  const parts = sequenceIn(value);
  const isAuthority =
    parts[0]?.tag === Tag.Boolean && readTrue(parts[0], 'basicConstraints (CA:FALSE written out)');
  const [pathLength] = isAuthority ? parts.slice(1) : parts;
  return { isAuthority, pathLengthMax: pathLength === undefined ? undefined : readSmallInteger(pathLength) };
}

/** SEQUENCE { permitted [0], excluded [1] } of subtrees, each a GeneralName; no profile uses their depths. */
function readNameConstraints(value: Buffer): NameConstraints {
  const parts = sequenceIn(value);
  const subtrees = (n: number): GeneralName[] => {
    const part = parts.find(({ tag }) => tag === contextTag(n, true));
    return readElements(part?.content ?? Buffer.alloc(0)).map((subtree) => {
      const [base, ...depths] = readElements(expectTag(subtree, Tag.Sequence).content);
      if (base === undefined || depths.length > 0) throw new DerError('a name constraint of the wrong shape');
      return readGeneralName(base);
    });
  };
  return { permitted: subtrees(0), excluded: subtrees(1) };
}

function sequenceIn(bytes: Buffer): DerElement[] {
  return readElements(readElement(bytes, Tag.Sequence).content);
}

type ByNode = 'x509' | 'publicKey' | 'fingerprintSha256' | 'title' | 'issuerTitle' | 'notBefore' | 'notAfter';

function readByNode(x509: X509Certificate): Pick<Certificate, ByNode> {
  const notBefore = x509.validFromDate.getTime();
  const notAfter = x509.validToDate.getTime();
  if (Number.isNaN(notBefore) || Number.isNaN(notAfter)) throw new DerError('a time that is none');
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
