import { isUtf8 } from 'node:buffer';
import { type Document, type Scalar, visit } from 'yaml';

/** What keeps a text from being read as the YAML that its author sees. */
export interface TextFault {
  /** Where, in characters from the beginning. */
  offset: number;
  message: string;
  hint: string;
}

/** The text of a file in UTF-8, or what else it is in. */
export function decodeUtf8(bytes: Buffer): string | TextFault {
  const [first, second, third] = bytes;
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (isMarked || (bytes.length > 1 && (first === 0) !== (second === 0) && third !== undefined)) {
    return { offset: 0, message: 'the file is in UTF-16', hint: 'save it as UTF-8' };
  }
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const offset = bytes.toString('utf8').indexOf('\ufffd');
  return { offset, message: 'a letter here is not in UTF-8', hint: 'save the file as UTF-8' };
}

/**
 * What is wrong with a parsed document. A tab or an odd blank makes the parser stumble over what comes behind it,
 * so that fault is reported instead of the parser's message.
 */
export function yamlFaults(text: string, document: Document.Parsed): TextFault[] {
  const version = versionFault(document);
  if (version !== undefined) return [version];
  const problems = [...document.errors, ...document.warnings];
  const suspects = suspectsIn(text, document, problems.length > 0);
  const stumblesAt = suspects.length === 0 ? Infinity : endBefore(text, suspects[0]!.offset);
  const before = problems.filter(({ pos: [at] }) => at < stumblesAt);
  const worded = before.map(({ code, message, pos: [offset] }) => ({
    offset,
    ...(rewordings[offset < text.length && text.startsWith('<<', offset) ? `${code} <<` : code] ?? {
      message: lowerFirst(message.split('\n')[0]!.replace(/[:.]$/, '')),
      hint: hints[code] ?? "mind the indentation, and quote text that begins with a sign or holds ': '",
    }),
  }));
  return [...worded, ...suspects].sort((a, b) => a.offset - b.offset);
}

/** Where the text before the line of `offset` ends: the parser blames that place for what the next line does. */
function endBefore(text: string, offset: number): number {
  return text.slice(0, text.lastIndexOf('\n', offset - 1) + 1).trimEnd().length;
}

/** Replaces messages of the parser that do not lead to the remedy. */
const rewordings: Readonly<Record<string, { message: string; hint: string }>> = {
  MULTIPLE_DOCS: {
    message: 'a second document begins here',
    hint: "remove the '---' and what comes after it",
  },
  'DUPLICATE_KEY <<': { message: "a map has one '<<' only", hint: 'give it a list: <<: [*first, *second]' },
};

const hints: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'remove one of the two',
  TAB_AS_INDENT: 'indent with spaces',
  BAD_INDENT: 'indent it like its neighbours, and close every { and [',
  BAD_ALIAS: 'define the anchor (&name) before the alias (*name)',
  NON_STRING_KEY: 'write a plain name as key',
  TAG_RESOLVE_FAILED: 'remove the tag (!…)',
};

/** YAML 1.1 reads 010 as 8, 1:30 as 90 and yes as true. */
function versionFault({ directives }: Document.Parsed): TextFault | undefined {
  const { explicit, version } = directives.yaml;
  if (explicit !== true || version === '1.2') return undefined;
  const message = `YAML ${version} reads numbers such as 010 and 1:30 otherwise`;
  return { offset: 0, message, hint: `remove the line '%YAML ${version}'` };
}

/** Blanks that YAML does not have, marks of direction, and characters without a width. */
const oddPattern = /[\u0085\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]/g;
const quotePattern = /(?<=(?:[:-] |[[{,] ?))[\u2018-\u201f\u00ab\u00bb]/g;
const tabPattern = /^ *(\t)/gm;

function suspectsIn(text: string, document: Document.Parsed, isBroken: boolean): TextFault[] {
  const found = [
    ...matches(text, oddPattern, (character) => oddFault(character)),
    ...matches(text, quotePattern, (character) => ({
      message: `${codePoint(character)} is a typographic quote, which YAML takes for a letter`,
      hint: 'write \' or "',
    })),
    ...(isBroken ? matches(text, tabPattern, () => tabFault) : []),
  ];
  if (found.length === 0) return [];
  const isText = protectedText(text, document);
  return found.filter(({ offset }) => offset > 0 && !isText(offset)).sort((a, b) => a.offset - b.offset);
}

const tabFault = { message: 'tabs are not allowed as indentation', hint: 'indent with spaces' };

function oddFault(character: string): Omit<TextFault, 'offset'> {
  const isBlank = /\p{Z}/u.test(character);
  return isBlank
    ? {
        message: `${codePoint(character)} looks like a blank but is not one`,
        hint: 'type a blank in its place',
      }
    : { message: `${codePoint(character)} is here, an invisible character`, hint: 'delete it' };
}

function codePoint(character: string): string {
  return `U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

function matches(
  text: string,
  pattern: RegExp,
  fault: (character: string) => Omit<TextFault, 'offset'>,
): TextFault[] {
  return [...text.matchAll(pattern)].map((match) => {
    const character = match[1] ?? match[0];
    return { offset: match.index + match[0].length - character.length, ...fault(character) };
  });
}

/** Whether a place is within quotes, a block of text or a comment, where any character is allowed. */
function protectedText(text: string, document: Document.Parsed): (offset: number) => boolean {
  const ranges: [number, number][] = [];
  visit(document, {
    Scalar: (_key, { type, range }: Scalar) => {
      if (type !== 'PLAIN' && range) ranges.push([range[0], range[1]]);
    },
  });
  const isQuoted = (offset: number): boolean => ranges.some(([from, to]) => from <= offset && offset < to);
  return (offset) => {
    if (isQuoted(offset)) return true;
    const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
    for (let at = text.indexOf('#', lineStart); at >= 0 && at < offset; at = text.indexOf('#', at + 1)) {
      const isComment = at === lineStart || /\s/.test(text[at - 1]!);
      if (isComment && !isQuoted(at)) return true;
    }
    return false;
  };
}

export function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text[0]!.toLowerCase() + text.slice(1) : text;
}
