import { MerestoneError } from '../base/error.ts';

/** Digits from which on an integer may be more than a double holds (2^53 has 16). */
const suspiciousDigits = 16;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * JSON bytes → value, refusing what two readers could understand differently: bytes that are no UTF-8,
 * an object that names a member twice, a member `__proto__`, an integer that a double cannot hold.
 * Throws StreamInvalid.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  const value = parse(text);
  const { members, longestNumber } = survey(bytes);
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

/** What the text of a JSON document says that its value no longer shows. The text must be valid JSON. */
function survey(json: Uint8Array): { members: number; longestNumber: number } {
  const [quote, backslash, colon, zero, nine] = [0x22, 0x5c, 0x3a, 0x30, 0x39];
  let members = 0;
  let longestNumber = 0;
  let digits = 0;
  let inString = false;
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]!;
    if (inString) {
      if (byte === backslash) index++;
      else if (byte === quote) inString = false;
    } else if (byte >= zero && byte <= nine) {
      digits++;
      if (digits > longestNumber) longestNumber = digits;
    } else {
      digits = 0;
      if (byte === quote) inString = true;
      else if (byte === colon) members++;
    }
  }
  return { members, longestNumber };
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
    return count;
  }
  for (const [name, item] of Object.entries(value)) {
    if (name === '__proto__') throw invalid("a member is called '__proto__'");
    count += 1 + countMembers(item);
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
