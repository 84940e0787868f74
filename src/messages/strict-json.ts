import { MerestoneError } from '../base/error.ts';
import { atOnce, type Steps } from '../base/steps.ts';
import { depthMax, digitsMax, nameTextMax, type DocumentLimits } from './document-limits.ts';

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
  return atOnce(parseStrictJsonSteps(bytes, limits));
}

/** The same in steps of a millisecond or so, but for V8's own parsing. */
export function* parseStrictJsonSteps(bytes: Uint8Array, limits: DocumentLimits): Steps<unknown> {
  if (bytes.length > limits.bytesMax) throw invalid(`it is longer than ${limits.bytesMax} bytes`);
  const members = yield* survey(bytes, limits);
  const text = decodeUtf8(bytes);
  yield;
  const value = parse(text);
  yield;
  if ((yield* countMembers(value)) !== members) throw invalid('an object names one of its members twice');
  return value;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw invalid('it is not UTF-8', cause);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    // V8's own message quotes the text, and that is a tenant's data.
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
const [quote, backslash, colon, comma, minus, zero, nine] = [0x22, 0x5c, 0x3a, 0x2c, 0x2d, 0x30, 0x39];

/** Bytes between two steps. */
const stepBytes = 256 * 1024;

/**
 * What the text of a JSON document says that its value no longer shows: its members, of which two may have one name.
 * Up to the first fault of a text that is no JSON this counts as a parser would, and a parser reads no further.
 */
function* survey(json: Uint8Array, { itemsMax, elementsMax }: DocumentLimits): Steps<number> {
  let [members, commas, depth, stepAt] = [0, 0, 0, stepBytes];
  /** Commas so far, in the object or list that is open at each depth. */
  const own = new Uint32Array(depthMax + 1);
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]!;
    if (byte === quote) {
      index = endOfString(json, index);
    } else if (byte >= zero && byte <= nine) {
      index = endOfDigits(json, index) - 1;
    } else if (byte === colon) {
      members++;
    } else if (byte === comma) {
      if (++commas > elementsMax) throw invalid(`it has more than ${elementsMax} members and items`);
      if (++own[depth]! > itemsMax)
        throw invalid(`it has a list or object of more than ${itemsMax + 1} items`);
    } else if (levels[byte]! !== 0) {
      depth += levels[byte]!;
      if (depth > depthMax) throw invalid(`it is nested deeper than ${depthMax} levels`);
      if (levels[byte]! > 0) own[depth] = 0;
    }
    if (index < stepAt) continue;
    stepAt = index + stepBytes;
    yield;
  }
  return members;
}

/** Index after the digits that begin at `start`; an integer of many that a double cannot hold is refused. */
function endOfDigits(json: Uint8Array, start: number): number {
  let end = start;
  while (json[end]! >= zero && json[end]! <= nine) end++;
  if (end - start > digitsMax) throw invalid(`it has a number of more than ${digitsMax} digits`);
  if (end - start >= suspiciousDigits) refuseInexact(json, start, end);
  return end;
}

/** Before or after the digits of a number that is no integer: a fraction, an exponent. */
const noInteger: ReadonlySet<number | undefined> = new Set(Buffer.from('.eE+'));

function refuseInexact(json: Uint8Array, start: number, end: number): void {
  const negative = json[start - 1] === minus;
  const before = negative ? start - 1 : start;
  if (noInteger.has(json[before - 1]) || noInteger.has(json[end])) return;
  const digits = Buffer.from(json.subarray(before, end)).toString('latin1');
  if (BigInt(digits) === BigInt(Number(digits))) return;
  throw invalid(
    `${nameBefore(json, before)} is ${digits}, which a double cannot hold; it must be a decimal string`,
  );
}

/** The name of the member whose value begins at `index`, as it is written. */
function nameBefore(json: Uint8Array, index: number): string {
  const text = Buffer.from(json.subarray(Math.max(0, index - 2 * nameTextMax), index)).toString();
  return `'${/"((?:[^"\\]|\\.)*)"\s*:\s*$/.exec(text)?.[1] ?? ''}'`;
}

/** Index of the quote that ends the string that begins at `start`, or beyond the end. */
function endOfString(json: Uint8Array, start: number): number {
  let index = start + 1;
  for (; index < json.length && json[index] !== quote; index++) if (json[index] === backslash) index++;
  return index;
}

/** Members and items between two steps. */
const stepItems = 4096;

function* countMembers(value: unknown): Steps<number> {
  let count = 0;
  let stepAt = stepItems;
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    if (Array.isArray(next)) {
      for (const item of next) if (typeof item === 'object') open.push(item);
      continue;
    }
    for (const [name, item] of Object.entries(next)) {
      if (name === '__proto__') throw invalid("a member is called '__proto__'");
      count++;
      if (typeof item === 'object') open.push(item);
    }
    if (count < stepAt) continue;
    stepAt = count + stepItems;
    yield;
  }
  return count;
}

function invalid(message: string, cause?: unknown): MerestoneError {
  return new MerestoneError('StreamInvalid', message, { cause });
}
