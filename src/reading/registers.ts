import type { Order, RegisterType } from './point.ts';
import type { Value } from './sample.ts';
import { compileScale } from './scale.ts';

/** Raw register contents that mean "no value". A number stands for itself and for its bit pattern. */
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
  /** Registers of a `string`, or of `bits` (1 or 2). */
  length?: number;
  /** For `bool`: which bit, 0 = least significant; without it any bit set is true. */
  bit?: number;
  /** For `bits`: names by bit number. */
  bits?: Readonly<Record<number, string>>;
  /** Names by raw integer; a number without a name is its decimal text. */
  enum?: Readonly<Record<number, string>>;
  invalid?: readonly InvalidMarker[];
}

/** Registers (big-endian pairs of bytes, as on the wire) from `offset` on → value; undefined: invalid. */
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
  const counted = format.type === 'string' || format.type === 'bits';
  return counted ? (format.length ?? 1) : widths[format.type];
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

/** Reads one or two registers as an unsigned integer, whatever their order. */
function unsignedReader(registers: number, byteOrder: Order, wordOrder: Order): UnsignedReader {
  const [high, low] = byteOrder === 'big' ? [0, 1] : [1, 0];
  if (registers === 1) return (bytes, offset) => (bytes[offset + high]! << 8) | bytes[offset + low]!;
  const [first, second] = wordOrder === 'big' ? [0, 2] : [2, 0];
  const [a, b, c, d] = [first + high, first + low, second + high, second + low];
  return (bytes, offset) =>
    bytes[offset + a]! * 0x1000000 +
    ((bytes[offset + b]! << 16) | (bytes[offset + c]! << 8) | bytes[offset + d]!);
}

/** Reads four registers as their high and low 32 bits. */
function pairReader({ byteOrder, wordOrder }: RegisterFormat): { high: UnsignedReader; low: UnsignedReader } {
  const half = unsignedReader(2, byteOrder, wordOrder);
  const shifted: UnsignedReader = (bytes, offset) => half(bytes, offset + 4);
  return wordOrder === 'big' ? { high: half, low: shifted } : { high: shifted, low: half };
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
  const registers = registerCount(format);
  const read = unsignedReader(registers, format.byteOrder, format.wordOrder);
  const marked = markedPatterns(format.invalid ?? [], registers * 16).map(Number);
  const interpret = integerInterpreter(format);
  if (marked.length === 0) return (bytes, offset) => interpret(read(bytes, offset));
  return (bytes, offset) => {
    const raw = read(bytes, offset);
    return marked.includes(raw) ? undefined : interpret(raw);
  };
}

function integerInterpreter(format: RegisterFormat): (raw: number) => Value | undefined {
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
  if (format.type === 'int16') return (raw) => finish((raw << 16) >> 16);
  if (format.type === 'int32') return (raw) => finish(raw | 0);
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
  const marked = new Set(markedPatterns(format.invalid ?? [], 64));
  const signed = format.type === 'int64';
  const finish = finishNumber(format);
  const scaled = format.scale !== undefined || format.offset !== undefined;
  return (bytes, offset) => {
    const upper = high(bytes, offset);
    const lower = low(bytes, offset);
    if (marked.size > 0 && marked.has((BigInt(upper) << 32n) | BigInt(lower))) return undefined;
    const raw = (signed ? upper | 0 : upper) * 0x100000000 + lower;
    if (Number.isSafeInteger(raw) || scaled) return finish(raw);
    const exact = (BigInt(signed ? upper | 0 : upper) << 32n) | BigInt(lower);
    return exact.toString();
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

/** Every single-precision number is told from its neighbours by nine digits, and many by six (IEEE 754). */
const singleDigits = [6, 7, 8] as const;

/** The shortest decimal that names the same single-precision number: 230.4, not 230.39999389648438. */
function shortestSingle(value: number): number {
  for (const digits of singleDigits) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return Number(value.toPrecision(9));
}

/** ASCII up to the first NUL, without the spaces that pad it. */
function stringDecoder(format: RegisterFormat): Decoder {
  const size = registerCount(format) * 2;
  const swap = format.byteOrder === 'little';
  const onesAreInvalid = format.invalid?.includes('all-ones') ?? false;
  return (bytes, offset) => {
    const text = Buffer.from(bytes.subarray(offset, offset + size));
    if (onesAreInvalid && text.every((byte) => byte === 0xff)) return undefined;
    if (swap) text.swap16();
    const end = text.indexOf(0);
    return text.toString('latin1', 0, end < 0 ? size : end).trim();
  };
}
