import type { Order, RegisterType } from './point.ts';
import type { Value } from './sample.ts';
import { compileScale } from './scale.ts';

/** Raw register contents that mean "no value". A number matches by value and by bit pattern. */
export type InvalidMarker = number | bigint | 'nan' | 'all-ones' | 'int-min' | 'int-max';

/** How registers hold a value. */
export interface RegisterFormat {
  type: RegisterType;
  /** `little`: the two bytes of each register are swapped. */
  byteOrder: Order;
  /** `little`: the low word comes first. A string's registers are always in reading order. */
  wordOrder: Order;
  /** value = raw × scale + offset. */
  scale?: number;
  offset?: number;
  /** Registers of a `string`, of `bits` (1 or 2), or of `int64` and `uint64` (3 for 48 bits, else 4). */
  length?: number;
  /** For `int16` and `uint16`: the value is one byte of the register. */
  half?: 'high' | 'low';
  /** For signed integers: the highest bit is the sign and the rest the magnitude; else they are in two's complement. */
  sign?: 'magnitude';
  /** For `bool`: which bit, 0 = least significant; without it any bit set is true. */
  bit?: number;
  /** For `bits`: names by bit number. */
  bits?: Readonly<Record<number, string>>;
  /** Names by raw integer; a number without a name is its decimal text. */
  enum?: Readonly<Record<number, string>>;
  invalid?: readonly InvalidMarker[];
}

/** Registers (big-endian pairs of bytes, as in the frame) from `offset` on → value; undefined: invalid. */
export type Decoder = (bytes: Uint8Array, offset: number) => Value | undefined;

const widths: Record<RegisterType, number> = {
  bool: 1,
  int16: 1,
  uint16: 1,
  int32: 2,
  uint32: 2,
  int64: 4,
  uint64: 4,
  float32: 2,
  float64: 4,
  string: 1,
  bits: 1,
  bcd16: 1,
  bcd32: 2,
};

/** Registers that a value takes. */
export function registerCount(format: Pick<RegisterFormat, 'type' | 'length'>): number {
  const counted = ['string', 'bits', 'int64', 'uint64'].includes(format.type);
  return (counted ? format.length : undefined) ?? widths[format.type];
}

/** Bit `index` of an answer to function codes 1 and 2 (Modbus V1.1b3 §6.1: the first is bit 0 of byte 0). */
export function bitAt(bytes: Uint8Array, index: number): boolean {
  return ((bytes[index >> 3]! >> (index & 7)) & 1) === 1;
}

/** The decoder of one point, made once so that a reading costs next to nothing. */
export function compileDecoder(format: RegisterFormat): Decoder {
  switch (format.type) {
    case 'string':
      return stringDecoder(format);
    case 'float32':
    case 'float64':
      return floatDecoder(format);
    case 'int64':
    case 'uint64':
      return wideDecoder(format);
    case 'bool':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'bits':
    case 'bcd16':
    case 'bcd32':
      return integerDecoder(format);
  }
}

type UnsignedReader = (bytes: Uint8Array, offset: number) => number;

/** Reads one or two registers as an unsigned integer, in any byte and word order. */
function unsignedReader(registers: number, byteOrder: Order, wordOrder: Order): UnsignedReader {
  const [high, low] = byteOrder === 'big' ? [0, 1] : [1, 0];
  if (registers === 1) return (bytes, offset) => (bytes[offset + high]! << 8) | bytes[offset + low]!;
  const [first, second] = wordOrder === 'big' ? [0, 2] : [2, 0];
  const [a, b, c, d] = [first + high, first + low, second + high, second + low];
  return (bytes, offset) =>
    bytes[offset + a]! * 0x1000000 +
    ((bytes[offset + b]! << 16) | (bytes[offset + c]! << 8) | bytes[offset + d]!);
}

/** Reads four registers as their high and low 32 bits, three as their high 16 and low 32. */
function pairReader(format: RegisterFormat): { high: UnsignedReader; low: UnsignedReader } {
  const { byteOrder, wordOrder } = format;
  const highRegisters = registerCount(format) - 2;
  const upper = unsignedReader(highRegisters, byteOrder, wordOrder);
  const lower = unsignedReader(2, byteOrder, wordOrder);
  const at =
    (read: UnsignedReader, shift: number): UnsignedReader =>
    (bytes, offset) =>
      read(bytes, offset + shift);
  return wordOrder === 'big'
    ? { high: upper, low: at(lower, 2 * highRegisters) }
    : { high: at(upper, 4), low: lower };
}

/** Reads one byte of a register. */
function halfReader(half: 'high' | 'low', byteOrder: Order): UnsignedReader {
  const at = (half === 'high') === (byteOrder === 'big') ? 0 : 1;
  return (bytes, offset) => bytes[offset + at]!;
}

/** The signed value of an unsigned number of `bits` bits. */
function signed({ sign }: RegisterFormat, width: number): (raw: number) => number {
  const half = 2 ** (width - 1);
  if (sign === 'magnitude') return (raw) => (raw >= half ? -(raw - half) || 0 : raw);
  return (raw) => (raw >= half ? raw - 2 * half : raw);
}

/** The markers as unsigned bit patterns of the given width; those that can't occur are left out. */
function markedPatterns(markers: readonly InvalidMarker[], width: number): bigint[] {
  const bits = BigInt(width);
  return markers.flatMap((marker) => {
    if (marker === 'nan') return [];
    if (marker === 'all-ones') return [(1n << bits) - 1n];
    if (marker === 'int-min') return [1n << (bits - 1n)];
    if (marker === 'int-max') return [(1n << (bits - 1n)) - 1n];
    if (typeof marker === 'number' && !Number.isInteger(marker)) return [];
    const value = BigInt(marker);
    const fits = value >= -(1n << (bits - 1n)) && value < 1n << bits;
    return fits ? [BigInt.asUintN(width, value)] : [];
  });
}

function integerDecoder(format: RegisterFormat): Decoder {
  const { half, byteOrder, wordOrder } = format;
  const registers = registerCount(format);
  const width = half === undefined ? registers * 16 : 8;
  const read =
    half === undefined ? unsignedReader(registers, byteOrder, wordOrder) : halfReader(half, byteOrder);
  const marked = markedPatterns(format.invalid ?? [], width).map(Number);
  const interpret = integerInterpreter(format, width);
  if (marked.length === 0) return (bytes, offset) => interpret(read(bytes, offset));
  return (bytes, offset) => {
    const raw = read(bytes, offset);
    return marked.includes(raw) ? undefined : interpret(raw);
  };
}

function integerInterpreter(format: RegisterFormat, width: number): (raw: number) => Value | undefined {
  if (format.type === 'bool') {
    const { bit } = format;
    return bit === undefined ? (raw) => raw !== 0 : (raw) => ((raw >> bit) & 1) === 1;
  }
  if (format.type === 'bits') {
    const names = Object.entries(format.bits ?? {}).map(([bit, name]) => ({ bit: Number(bit), name }));
    names.sort((a, b) => a.bit - b.bit);
    return (raw) =>
      names
        .filter(({ bit }) => ((raw >>> bit) & 1) === 1)
        .map(({ name }) => name)
        .join(',');
  }
  const finish = finishNumber(format);
  if (format.type === 'int16' || format.type === 'int32') {
    const withSign = signed(format, width);
    return (raw) => finish(withSign(raw));
  }
  if (format.type !== 'bcd16' && format.type !== 'bcd32') return finish;
  return (raw) => {
    const digits = raw.toString(16);
    return /^\d+$/.test(digits) ? finish(Number(digits)) : undefined;
  };
}

/** From the raw number to its name or its scaled value. */
function finishNumber(format: RegisterFormat): (raw: number) => Value | undefined {
  const names = format.enum;
  if (names) return (raw) => names[raw] ?? String(raw);
  const scale = compileScale(format.scale, format.offset);
  return (raw) => {
    const value = scale(raw);
    return Number.isFinite(value) ? value : undefined;
  };
}

function wideDecoder(format: RegisterFormat): Decoder {
  const { high, low } = pairReader(format);
  const width = 16 * registerCount(format);
  const signBit = 2 ** (width - 33);
  const marked = new Set(markedPatterns(format.invalid ?? [], width));
  const isSigned = format.type === 'int64';
  const isMagnitude = isSigned && format.sign === 'magnitude';
  const finish = finishNumber(format);
  const scaled = format.scale !== undefined || format.offset !== undefined;
  return (bytes, offset) => {
    const upper = high(bytes, offset);
    const lower = low(bytes, offset);
    if (marked.size > 0 && marked.has((BigInt(upper) << 32n) | BigInt(lower))) return undefined;
    const isNegative = isSigned && upper >= signBit;
    const top = isNegative ? upper - (isMagnitude ? signBit : 2 * signBit) : upper;
    const turn = isNegative && isMagnitude ? -1 : 1;
    const raw = turn * (top * 0x100000000 + lower) || 0;
    if (Number.isSafeInteger(raw) || scaled) return finish(raw);
    return (BigInt(turn) * ((BigInt(top) << 32n) + BigInt(lower))).toString();
  };
}

const scratch = new DataView(new ArrayBuffer(8));

function floatDecoder(format: RegisterFormat): Decoder {
  const registers = registerCount(format);
  const markers = format.invalid ?? [];
  const patterns = new Set(markedPatterns(markers, registers * 16));
  const numbers = new Set(markers.filter((marker) => typeof marker === 'number'));
  const scale = compileScale(format.scale, format.offset);
  const single = unsignedReader(2, format.byteOrder, format.wordOrder);
  const double = pairReader(format);
  return (bytes, offset) => {
    if (registers === 2) {
      scratch.setUint32(0, single(bytes, offset));
    } else {
      scratch.setUint32(0, double.high(bytes, offset));
      scratch.setUint32(4, double.low(bytes, offset));
    }
    const raw = registers === 2 ? shortestSingle(scratch.getFloat32(0)) : scratch.getFloat64(0);
    if (!Number.isFinite(raw) || numbers.has(raw)) return undefined;
    if (patterns.size > 0) {
      const pattern = registers === 2 ? BigInt(scratch.getUint32(0)) : scratch.getBigUint64(0);
      if (patterns.has(pattern)) return undefined;
    }
    const value = scale(raw);
    return Number.isFinite(value) ? value : undefined;
  };
}

/** Nine digits tell every single-precision number from its neighbours, and six tell many (IEEE 754). */
const singleDigits = [6, 7, 8] as const;

/** The shortest decimal that names the same single-precision number: 230.4, not 230.39999389648438. */
function shortestSingle(value: number): number {
  for (const digits of singleDigits) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return Number(value.toPrecision(9));
}

/**
 * Text up to the first NUL, without the spaces that pad it: UTF-8, which ASCII is, or Latin-1 where it can't be that.
 * Text that is empty in this byte order and readable in the other has no value: the configured order is wrong.
 */
function stringDecoder(format: RegisterFormat): Decoder {
  const size = registerCount(format) * 2;
  const swap = format.byteOrder === 'little';
  const onesAreInvalid = format.invalid?.includes('all-ones') ?? false;
  return (bytes, offset) => {
    const text = Buffer.from(bytes.subarray(offset, offset + size));
    if (onesAreInvalid && text.every((byte) => byte === 0xff)) return undefined;
    if (swap) text.swap16();
    const end = text.indexOf(0);
    if (end === 0 && isSwapped(text)) return undefined;
    return decodeText(text.subarray(0, end < 0 ? size : end)).trim();
  };
}

function isSwapped(text: Buffer): boolean {
  const other = Buffer.from(text).swap16();
  return /^[\x20-\x7e]+\0+$/.test(other.toString('latin1'));
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
/** Bytes of the longest character of UTF-8. */
const characterBytesMax = 4;

/** Text that a device sent: UTF-8 where it is that, a cut last character left out, else Latin-1. */
export function decodeText(text: Buffer): string {
  // The field's end may cut the last character.
  for (let cut = 0; cut < characterBytesMax && (cut === 0 || text.at(-cut)! >= 0x80); cut += 1) {
    try {
      return utf8.decode(text.subarray(0, text.length - cut));
    } catch {
      // Not UTF-8 so far.
    }
  }
  return text.toString('latin1');
}
