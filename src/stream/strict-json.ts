import { MerestoneError } from '../base/error.ts';
import { depthMax, digitsMax, type DocumentLimits } from './limits.ts';

/** Digits from which on an integer may be more than a double holds (2^53 has 16). */
const suspiciousDigits = 16;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * JSON bytes → value, refusing what two readers could understand differently: bytes that are no UTF-8,
 * an object that names a member twice, a member `__proto__`, an integer that a double cannot hold.
 * Bytes, depth and elements are counted on the text before anything is built from it, so that no document
 * takes more time and memory than its limits. Throws StreamInvalid.
 */
export function parseStrictJson(bytes: Uint8Array, limits: DocumentLimits): unknown {
  if (bytes.length > limits.bytesMax) throw invalid(`it is longer than ${limits.bytesMax} bytes`);
  const { members, longestNumber } = survey(bytes, limits);
  const text = decodeUtf8(bytes);
  const value = parse(text);
  if (countMembers(value) !== members) throw invalid('an object names one of its members twice');
  if (longestNumber >= suspiciousDigits) refuseInexactIntegers(text);
  return value;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw invalid('it is not UTF-8', cause);
  }
}

function parse(text: string, reviver?: Parameters<typeof JSON.parse>[1]): unknown {
  try {
    return JSON.parse(text, reviver);
  } catch (cause) {
    if (cause instanceof MerestoneError) throw cause;
    // V8's own message quotes the text, and that is somebody's data.
    const position = cause instanceof Error ? /position \d+/.exec(cause.message)?.[0] : undefined;
    throw invalid(`it is not JSON${position === undefined ? '' : ` at ${position}`}`);
  }
}

/** 1 opens a level, -1 closes one. */
const levels = new Int8Array(256);
for (const [characters, step] of [
  ['[{', 1],
  [']}', -1],
] as const) {
  for (const character of characters) levels[character.charCodeAt(0)] = step;
}
const [quote, backslash, colon, comma, zero, nine] = [0x22, 0x5c, 0x3a, 0x2c, 0x30, 0x39];

/**
 * What the text of a JSON document says that its value no longer shows. Up to the first fault of a text that is
 * no JSON this counts as a parser would, and a parser reads no further.
 */
function survey(
  json: Uint8Array,
  { itemsMax, elementsMax }: DocumentLimits,
): { members: number; longestNumber: number } {
  let [members, commas, depth, digits, longestNumber] = [0, 0, 0, 0, 0];
  /** Commas so far, in the object or list that is open at each depth. */
  const own = new Uint32Array(depthMax + 1);
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]!;
    if (byte >= zero && byte <= nine) {
      if (++digits > longestNumber) longestNumber = digits;
      continue;
    }
    digits = 0;
    if (byte === quote) index = endOfString(json, index);
    else if (byte === colon) members++;
    else if (byte === comma) {
      commas++;
      if (++own[depth]! > itemsMax)
        throw invalid(`it has a list or object of more than ${itemsMax + 1} items`);
    } else if (levels[byte]! !== 0) {
      depth += levels[byte]!;
      if (depth > depthMax) throw invalid(`it is nested deeper than ${depthMax} levels`);
      if (levels[byte]! > 0) own[depth] = 0;
    }
    if (commas > elementsMax) throw invalid(`it has more than ${elementsMax} members and items`);
    if (longestNumber > digitsMax) throw invalid(`it has a number of more than ${digitsMax} digits`);
  }
  return { members, longestNumber };
}

/** Index of the quote that ends the string that begins at `start`, or beyond the end. */
function endOfString(json: Uint8Array, start: number): number {
  let index = start + 1;
  for (; index < json.length && json[index] !== quote; index++) if (json[index] === backslash) index++;
  return index;
}

function countMembers(value: unknown): number {
  let count = 0;
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    if (Array.isArray(next)) {
      for (const item of next) open.push(item);
      continue;
    }
    for (const [name, item] of Object.entries(next)) {
      if (name === '__proto__') throw invalid("a member is called '__proto__'");
      count++;
      open.push(item);
    }
  }
  return count;
}

function refuseInexactIntegers(text: string): void {
  parse(text, function reviver(name: string, value: unknown, context?: { source?: string }): unknown {
    const source = context?.source;
    if (typeof value === 'number' && source !== undefined && /^-?\d+$/.test(source)) {
      if (!Number.isFinite(value) || BigInt(source) !== BigInt(value)) {
        throw invalid(`'${name}' is ${source}, which a double cannot hold; it must be a decimal string`);
      }
    }
    return value;
  });
}

function invalid(message: string, cause?: unknown): MerestoneError {
  return new MerestoneError('StreamInvalid', message, { cause });
}
