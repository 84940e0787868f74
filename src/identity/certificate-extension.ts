import {
  contextTag,
  DerError,
  DerParts,
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
import { NameKind, readGeneralName, readGeneralNames } from './general-name.ts';
import type { GeneralName } from './general-name.ts';

export interface NameConstraints {
  permitted: readonly GeneralName[];
  excluded: readonly GeneralName[];
}

/** The content of the extensions that decide whether a certificate is accepted. */
export interface CertificateExtensions {
  alternativeNames: readonly GeneralName[];
  isAuthority: boolean;
  /** How many CA certificates may lie between this one and the leaf; undefined: any number. */
  pathLengthMax: number | undefined;
  /** Bit numbers of KeyUsage (RFC 5280 §4.2.1.3); undefined if not limited. */
  keyUsages: ReadonlySet<number> | undefined;
  /** Object identifiers; undefined if not limited. */
  extendedKeyUsages: readonly string[] | undefined;
  nameConstraints: NameConstraints | undefined;
  /** Critical extensions that this code does not process: such a certificate must not be used (§4.2). */
  unknownCritical: readonly string[];
}

const Extension = {
  SubjectKeyIdentifier: '2.5.29.14',
  KeyUsage: '2.5.29.15',
  SubjectAlternativeName: '2.5.29.17',
  BasicConstraints: '2.5.29.19',
  NameConstraints: '2.5.29.30',
  AuthorityKeyIdentifier: '2.5.29.35',
  ExtendedKeyUsage: '2.5.29.37',
} as const;

/**
 * Extensions that may be critical. Policies are accepted and ignored, as OpenSSL does by default. Key identifiers
 * are never critical (§4.2.1.1 and §4.2.1.2).
 */
const understood: ReadonlySet<string> = new Set([
  Extension.KeyUsage,
  Extension.SubjectAlternativeName,
  Extension.BasicConstraints,
  Extension.NameConstraints,
  Extension.ExtendedKeyUsage,
  '2.5.29.32',
  '2.5.29.33',
  '2.5.29.36',
  '2.5.29.54',
]);

/**
 * Reads every known extension completely: a part that its type does not define is refused, never skipped.
 * `wrapped` is the [3] of a certificate. Throws DerError.
 */
export function readExtensions(wrapped: DerElement | undefined): CertificateExtensions {
  const extensions = new Map<string, RawExtension>();
  if (wrapped !== undefined) {
    const list = sequenceIn(wrapped.content);
    if (list.length === 0) throw new DerError('a list of extensions that is empty');
    for (const each of list) readExtension(each, extensions);
  }
  const read = <T>(oid: string, parse: (value: Buffer) => T): T | undefined => {
    const value = extensions.get(oid)?.value;
    return value === undefined ? undefined : parse(value);
  };
  read(Extension.SubjectKeyIdentifier, checkSubjectKeyIdentifier);
  read(Extension.AuthorityKeyIdentifier, checkAuthorityKeyIdentifier);
  const constraints = read(Extension.BasicConstraints, readBasicConstraints);
  const { isAuthority = false, pathLengthMax } = constraints ?? {};
  const nameConstraints = read(Extension.NameConstraints, readNameConstraints);
  if (nameConstraints !== undefined && !isAuthority) {
    throw new DerError('name constraints in a certificate that is no CA');
  }
  return {
    alternativeNames: read(Extension.SubjectAlternativeName, readAlternativeNames) ?? [],
    isAuthority,
    pathLengthMax,
    keyUsages: read(Extension.KeyUsage, readKeyUsage),
    extendedKeyUsages: read(Extension.ExtendedKeyUsage, readExtendedKeyUsage),
    nameConstraints,
    unknownCritical: [...extensions]
      .filter(([oid, { critical }]) => critical && !understood.has(oid))
      .map(([oid]) => oid),
  };
}

interface RawExtension {
  critical: boolean;
  value: Buffer;
}

/** Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } (§4.1). */
function readExtension(element: DerElement, extensions: Map<string, RawExtension>): void {
  const parts = new DerParts(expectTag(element, Tag.Sequence).content, 'an extension');
  const oid = readObjectIdentifier(parts.take(Tag.ObjectIdentifier));
  if (extensions.has(oid)) throw new DerError(`two extensions ${oid}`);
  const flag = parts.takeIf(Tag.Boolean);
  const critical = flag !== undefined && readTrue(flag, `the critical flag of extension ${oid}`);
  extensions.set(oid, { critical, value: parts.take(Tag.OctetString).content });
  parts.end();
}

/** SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL } (§4.2.1.9). */
function readBasicConstraints(value: Buffer): Pick<CertificateExtensions, 'isAuthority' | 'pathLengthMax'> {
  const parts = new DerParts(readElement(value, Tag.Sequence).content, 'basicConstraints');
  const flag = parts.takeIf(Tag.Boolean);
  const isAuthority = flag !== undefined && readTrue(flag, 'basicConstraints (CA:FALSE written out)');
  const pathLength = parts.takeIf(Tag.Integer);
  parts.end();
  if (pathLength !== undefined && !isAuthority) {
    throw new DerError('basicConstraints with a path length for a certificate that is no CA');
  }
  return { isAuthority, pathLengthMax: pathLength && readSmallInteger(pathLength) };
}

function readKeyUsage(value: Buffer): ReadonlySet<number> {
  const flags = readFlags(readElement(value, Tag.BitString));
  if (flags.size === 0) throw new DerError('a key usage that allows nothing');
  return flags;
}

function readExtendedKeyUsage(value: Buffer): string[] {
  const usages = sequenceIn(value).map(readObjectIdentifier);
  if (usages.length === 0) throw new DerError('an extended key usage that allows nothing');
  return usages;
}

function readAlternativeNames(value: Buffer): GeneralName[] {
  return readGeneralNames(sequenceIn(value), 'a subject alternative name');
}

/** SEQUENCE { permittedSubtrees [0], excludedSubtrees [1] }, one of them at least (§4.2.1.10). */
function readNameConstraints(value: Buffer): NameConstraints {
  const parts = new DerParts(readElement(value, Tag.Sequence).content, 'name constraints');
  const permitted = parts.takeIf(contextTag(0, true));
  const excluded = parts.takeIf(contextTag(1, true));
  parts.end();
  if (permitted === undefined && excluded === undefined) {
    throw new DerError('name constraints that constrain nothing');
  }
  return { permitted: readSubtrees(permitted), excluded: readSubtrees(excluded) };
}

/** SEQUENCE SIZE (1..MAX) OF { base, minimum [0] DEFAULT 0, maximum [1] }; no profile uses the depths. */
function readSubtrees(list: DerElement | undefined): GeneralName[] {
  if (list === undefined) return [];
  const subtrees = readElements(list.content);
  if (subtrees.length === 0) throw new DerError('name constraints with an empty list');
  return subtrees.map((subtree) => {
    const parts = new DerParts(expectTag(subtree, Tag.Sequence).content, 'a name constraint');
    const name = readGeneralName(parts.takeAny(), 'constraint');
    parts.end();
    if (name.kind === NameKind.Uri && !hostPattern.test(name.uri!)) {
      throw new DerError('a URI constraint that is no host and no domain');
    }
    return name;
  });
}

/** A host, with a leading dot every host of a domain, and empty every host; never a URI or an address. */
const hostPattern = /^(?:\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)?$/i;

/** KeyIdentifier ::= OCTET STRING (§4.2.1.2). */
function checkSubjectKeyIdentifier(value: Buffer): void {
  const { content } = readElement(value, Tag.OctetString);
  if (content.length === 0) throw new DerError('an empty subject key identifier');
}

/** SEQUENCE { keyIdentifier [0], authorityCertIssuer [1], authorityCertSerialNumber [2] }, the last two together. */
function checkAuthorityKeyIdentifier(value: Buffer): void {
  const parts = new DerParts(readElement(value, Tag.Sequence).content, 'an authority key identifier');
  const identifier = parts.takeIf(contextTag(0, false));
  const issuer = parts.takeIf(contextTag(1, true));
  const serial = parts.takeIf(contextTag(2, false));
  parts.end();
  if (identifier?.content.length === 0 || serial?.content.length === 0) {
    throw new DerError('an authority key identifier that is empty');
  }
  if ((issuer === undefined) !== (serial === undefined)) {
    throw new DerError('an authority key identifier with half of issuer and serial number');
  }
  if (issuer !== undefined) readGeneralNames(readElements(issuer.content), 'an authority key identifier');
}

function sequenceIn(bytes: Buffer): DerElement[] {
  return readElements(readElement(bytes, Tag.Sequence).content);
}
