import {
  contextTag,
  DerError,
  DerParts,
  readElement,
  readElements,
  readObjectIdentifier,
  expectTag,
  Tag,
} from './der.ts';
import type { DerElement } from './der.ts';

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

/** One name of a subject alternative name or of a name constraint; only directory names and URIs are parsed. */
export interface GeneralName {
  /** The number of its choice in GeneralName, RFC 5280 §4.2.1.6. */
  kind: number;
  directory?: DistinguishedName;
  uri?: string;
}

export const NameKind = {
  Other: 0,
  Email: 1,
  Dns: 2,
  X400: 3,
  Directory: 4,
  EdiParty: 5,
  Uri: 6,
  Address: 7,
  RegisteredId: 8,
} as const;

/** A name of a certificate, or the base of a constraint, whose addresses have a mask and whose hosts may be empty. */
type NamePlace = 'name' | 'constraint';

/** The content of a Name: SET OF SEQUENCE { type, value }, each set one relative name. */
export function readName(content: Buffer): DistinguishedName {
  return readElements(content).map((relative) => {
    const attributes = readElements(expectTag(relative, Tag.Set).content);
    if (attributes.length === 0) throw new DerError('an empty relative name');
    return attributes.map(readAttribute);
  });
}

function readAttribute(attribute: DerElement): NameAttribute {
  const parts = new DerParts(expectTag(attribute, Tag.Sequence).content, 'a name attribute');
  const type = readObjectIdentifier(parts.take(Tag.ObjectIdentifier));
  const value = parts.takeAny();
  parts.end();
  return { type, tag: value.tag, value: value.content };
}

/** GeneralNames ::= SEQUENCE SIZE (1..MAX) OF GeneralName (RFC 5280 §4.2.1.6); `elements` is what it holds. */
export function readGeneralNames(elements: readonly DerElement[], where: string): GeneralName[] {
  if (elements.length === 0) throw new DerError(`${where} without a name`);
  return elements.map((each) => readGeneralName(each, 'name'));
}

/** One choice of GeneralName, whole: its tag says which, and its form must be that choice's (RFC 5280 §4.2.1.6). */
export function readGeneralName({ tag, content }: DerElement, place: NamePlace): GeneralName {
  const kind = tag & 0x1f;
  const { Other, X400, Directory, EdiParty, Uri, Address, RegisteredId } = NameKind;
  const isConstructed = [Other, X400, Directory, EdiParty].some((each) => each === kind);
  if (kind > RegisteredId || tag !== contextTag(kind, isConstructed)) {
    throw new DerError('an alternative name of the wrong shape');
  }
  switch (kind) {
    case Other:
      checkOtherName(content);
      return { kind };
    case Directory: {
      const directory = readName(readElement(content, Tag.Sequence).content);
      if (place === 'name' && directory.length === 0) throw new DerError('an empty directory name');
      return { kind, directory };
    }
    case X400:
    case EdiParty:
      if (readElements(content).length === 0) throw new DerError('an empty alternative name');
      return { kind };
    case Address:
      checkAddress(content, place);
      return { kind };
    case RegisteredId:
      readObjectIdentifier({ tag: Tag.ObjectIdentifier, content, encoding: content });
      return { kind };
    default:
      checkText(content, place);
      return kind === Uri ? { kind, uri: content.toString('latin1') } : { kind };
  }
}

/** OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }, its own tag being replaced. */
function checkOtherName(content: Buffer): void {
  const parts = new DerParts(content, 'an other name');
  readObjectIdentifier(parts.take(Tag.ObjectIdentifier));
  const value = new DerParts(parts.take(contextTag(0, true)).content, 'the value of an other name');
  value.takeAny();
  value.end();
  parts.end();
}

/** E-mail, DNS and URI are IA5String: ASCII. No name is empty, while an empty constraint means every host. */
function checkText(content: Buffer, place: NamePlace): void {
  if (content.some((byte) => byte > 0x7f)) throw new DerError('an alternative name that is not ASCII');
  if (place === 'name' && content.length === 0) throw new DerError('an empty alternative name');
}

/** Four or sixteen bytes; in a constraint as many again, a mask of ones and then zeros (RFC 4632). */
function checkAddress(content: Buffer, place: NamePlace): void {
  const bytes = place === 'name' ? content.length : content.length / 2;
  if (bytes !== 4 && bytes !== 16) throw new DerError('an IP address of a wrong length');
  if (place === 'name') return;
  const mask = [...content.subarray(bytes)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  if (!/^1*0*$/.test(mask)) throw new DerError('an IP address constraint whose mask has holes');
}
