/** Tags of X.690 that a certificate uses; context-specific ones are `contextTag(n)`. */
export const Tag = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  ObjectIdentifier: 0x06,
  Utf8String: 0x0c,
  PrintableString: 0x13,
  Ia5String: 0x16,
  UtcTime: 0x17,
  GeneralizedTime: 0x18,
  Sequence: 0x30,
  Set: 0x31,
} as const;

/** `[n]`; `constructed` where it holds elements, not bytes. */
export function contextTag(n: number, constructed: boolean): number {
  return (constructed ? 0xa0 : 0x80) | n;
}

export interface DerElement {
  tag: number;
  content: Buffer;
  /** Tag, length and content. */
  encoding: Buffer;
}

/** The bytes are not valid DER, which has exactly one encoding for each value. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/**
 * The parts of a SEQUENCE, taken in the order in which its type defines them. A part that is misplaced, repeated,
 * unknown or of another tag is left over, and `end` refuses it: no part is skipped.
 */
export class DerParts {
  readonly #elements: DerElement[];
  readonly #what: string;

  /** `content` is what the SEQUENCE holds; `what` names it in an error. */
  constructor(content: Buffer, what: string) {
    this.#elements = readElements(content);
    this.#what = what;
  }

  take(tag: number): DerElement {
    return this.takeIf(tag) ?? this.#refuse();
  }

  takeIf(tag: number): DerElement | undefined {
    return this.#elements[0]?.tag === tag ? this.#elements.shift() : undefined;
  }

  /** The next part, of any tag. */
  takeAny(): DerElement {
    return this.#elements.shift() ?? this.#refuse();
  }

  end(): void {
    if (this.#elements.length > 0) this.#refuse();
  }

  #refuse(): never {
    const [next] = this.#elements;
    const found =
      next === undefined ? 'that ends too early' : `with tag 0x${hex(next.tag)} where none belongs`;
    throw new DerError(`${this.#what} ${found}`);
  }
}

/** The elements that fill `bytes`, each with a definite length in its shortest form (X.690 §10.1). */
export function readElements(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  for (let start = 0; start < bytes.length; ) {
    const { contentStart, end } = readHeader(bytes, start);
    elements.push({
      tag: bytes[start]!,
      content: bytes.subarray(contentStart, end),
      encoding: bytes.subarray(start, end),
    });
    start = end;
  }
  return elements;
}

/** The one element that fills `bytes`, which must have this tag. */
export function readElement(bytes: Buffer, tag: number): DerElement {
  const [element, ...more] = readElements(bytes);
  if (element === undefined || more.length > 0) throw new DerError('expected one element');
  return expectTag(element, tag);
}

export function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag === tag) return element;
  const found = element === undefined ? 'nothing' : `0x${hex(element.tag)}`;
  throw new DerError(`expected tag 0x${hex(tag)}, found ${found}`);
}

function hex(tag: number): string {
  return tag.toString(16).padStart(2, '0');
}

/** DER has TRUE as 0xff, and leaves FALSE out where it is the default (X.690 §11.1 and §11.5). */
export function readTrue(element: DerElement, where: string): true {
  const { content } = expectTag(element, Tag.Boolean);
  if (content.length === 1 && content[0] === 0xff) return true;
  const isFalse = content.length === 1 && content[0] === 0;
  throw new DerError(isFalse ? `an explicit FALSE in ${where}` : `a BOOLEAN in ${where} that is not TRUE`);
}

/** A whole number from 0 to 2^31 - 1. */
export function readSmallInteger(element: DerElement): number {
  const { content } = expectTag(element, Tag.Integer);
  if (content.length < 1 || content.length > 4 || content[0]! > 0x7f) {
    throw new DerError('an INTEGER out of range');
  }
  if (content.length > 1 && content[0] === 0 && content[1]! < 0x80) {
    throw new DerError('an INTEGER with a needless zero');
  }
  return content.readUIntBE(0, content.length);
}

/** Dotted decimal. */
export function readObjectIdentifier(element: DerElement): string {
  const { content } = expectTag(element, Tag.ObjectIdentifier);
  const arcs: number[] = [];
  let arc = 0;
  let fresh = true;
  for (const byte of content) {
    if (fresh && byte === 0x80) throw new DerError('an OBJECT IDENTIFIER with a needless zero');
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) throw new DerError('an OBJECT IDENTIFIER out of range');
    fresh = byte < 0x80;
    if (fresh) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first] = arcs;
  if (first === undefined || !fresh) throw new DerError('an OBJECT IDENTIFIER cut short');
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...arcs.slice(1)].join('.');
}

/**
 * Numbers of the bits that are set, the first being bit 0. Zeros at the end, which DER leaves out (X.690 §11.2.2),
 * are accepted: real CAs write them, and they carry no meaning.
 */
export function readFlags(element: DerElement): Set<number> {
  const { content } = expectTag(element, Tag.BitString);
  const unused = content[0];
  if (unused === undefined || unused > 7 || (unused > 0 && content.length === 1)) {
    throw new DerError('a BIT STRING without its count of unused bits');
  }
  if (content.length > 1 && (content.at(-1)! & ((1 << unused) - 1)) !== 0) {
    throw new DerError('a BIT STRING whose unused bits are set');
  }
  const flags = new Set<number>();
  for (let bit = 0; bit < (content.length - 1) * 8 - unused; bit++) {
    if (content[1 + (bit >> 3)]! & (0x80 >> (bit & 7))) flags.add(bit);
  }
  return flags;
}

function readHeader(bytes: Buffer, start: number): { contentStart: number; end: number } {
  const tag = bytes[start]!;
  if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of several bytes');
  const first = bytes[start + 1];
  if (first === undefined) throw new DerError('cut short');
  let contentStart = start + 2;
  let length = first;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets < 1 || octets > 4) throw new DerError('a length of no fixed size');
    contentStart += octets;
    if (contentStart > bytes.length) throw new DerError('cut short');
    length = bytes.readUIntBE(start + 2, octets);
    const shortest = length >= 0x80 && (octets === 1 || length >= 2 ** (8 * (octets - 1)));
    if (!shortest) throw new DerError('a length with needless bytes');
  }
  const end = contentStart + length;
  if (end > bytes.length) throw new DerError('cut short');
  return { contentStart, end };
}
