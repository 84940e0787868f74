import type { ChecksumEncoding, ChecksumOptions, PlacedChecksumKind } from '../options.ts';

/** `*`, before an NMEA sentence's check. */
const star = 0x2a;

/** Whether the frame's check holds; a frame too short to have one never does. */
export function checksumHolds(frame: Uint8Array, options: ChecksumOptions): boolean {
  if (options.kind === 'none') return true;
  if (!('at' in options)) {
    const mayLack = options.kind === 'nmea-0183-optional' && frame.at(-3) !== star;
    return mayLack || nmeaHolds(frame);
  }
  const [from, to, at] = [options.from, options.to, options.at].map((index) => position(index, frame.length));
  const { bits, compute } = algorithms[options.kind];
  const length = encodedLength(options.encoding, bits);
  if (from! < 0 || to! <= from! || to! > frame.length || at! < 0 || at! + length > frame.length) return false;
  const expected = encoded(compute(frame.subarray(from, to)), options.encoding, bits);
  return expected.every((byte, index) => upperCase(frame[at! + index]!, options.encoding) === byte);
}

/** Whether the frame has no check at all: another kind of telegram, not a damaged one. */
export function isUnchecked(frame: Uint8Array, options: ChecksumOptions): boolean {
  if (options.kind === 'none') return false;
  if (!('at' in options)) return options.kind === 'nmea-0183' && frame.at(-3) !== star;
  if (options.encoding !== 'hex') return false;
  const at = position(options.at, frame.length);
  const check = frame.subarray(
    Math.max(at, 0),
    Math.max(at, 0) + encodedLength('hex', algorithms[options.kind].bits),
  );
  return !/^[0-9A-Fa-f]+$/.test(Buffer.from(check).toString('latin1'));
}

/** The frame without an NMEA sentence's `*hh`, which would be part of its last column otherwise. */
export function contentOf(frame: Uint8Array, options: ChecksumOptions): Uint8Array {
  const isNmea = options.kind === 'nmea-0183' || options.kind === 'nmea-0183-optional';
  const ends = isNmea && frame.at(-3) === star;
  return ends ? frame.subarray(0, -3) : frame;
}

/** The check's bytes as a frame holds them. */
export function computeChecksum(
  kind: PlacedChecksumKind,
  covered: Uint8Array,
  encoding: ChecksumEncoding,
): Uint8Array {
  const { bits, compute } = algorithms[kind];
  return Uint8Array.from(encoded(compute(covered), encoding, bits));
}

/** [NMEA 0183 v4, §5.3.1]: `*` and the XOR of all between the start and `*`, as two hex digits. */
function nmeaHolds(frame: Uint8Array): boolean {
  const at = frame.length - 3;
  if (at < 2 || frame[at] !== star) return false;
  const expected = encoded(xor(frame.subarray(1, at)), 'hex', 8);
  return expected.every((byte, index) => upperCase(frame[at + 1 + index]!, 'hex') === byte);
}

function position(index: number, length: number): number {
  return index < 0 ? length + index : index;
}

function encodedLength(encoding: ChecksumEncoding, bits: number): number {
  if (encoding === 'hex') return bits / 4;
  return encoding === 'sdi-12' ? 3 : bits / 8;
}

function encoded(value: number, encoding: ChecksumEncoding, bits: number): number[] {
  if (encoding === 'hex') {
    const digits = value
      .toString(16)
      .toUpperCase()
      .padStart(bits / 4, '0');
    return [...Buffer.from(digits, 'latin1')];
  }
  // [SDI-12 1.4 §4.4.12.3] six bits a character, made printable
  if (encoding === 'sdi-12')
    return [0x40 | (value >> 12), 0x40 | ((value >> 6) & 0x3f), 0x40 | (value & 0x3f)];
  const bytes = bits === 8 ? [value] : [value >> 8, value & 0xff];
  return encoding === 'binary-little' ? bytes.toReversed() : bytes;
}

function upperCase(byte: number, encoding: ChecksumEncoding): number {
  return encoding === 'hex' && byte >= 0x61 && byte <= 0x66 ? byte - 0x20 : byte;
}

interface Algorithm {
  bits: 8 | 16;
  compute: (bytes: Uint8Array) => number;
}

const algorithms: Readonly<Record<PlacedChecksumKind, Algorithm>> = {
  xor: { bits: 8, compute: xor },
  sum8: { bits: 8, compute: (bytes) => sum(bytes) & 0xff },
  sum16: { bits: 16, compute: (bytes) => sum(bytes) & 0xffff },
  crc8: { bits: 8, compute: forward(8, 0x07, 0x00) },
  'crc8-maxim': { bits: 8, compute: reflected(0x8c, 0x00) },
  'crc16-modbus': { bits: 16, compute: reflected(0xa001, 0xffff) },
  'crc16-x25': { bits: 16, compute: inverted(reflected(0x8408, 0xffff)) },
  'crc16-arc': { bits: 16, compute: reflected(0xa001, 0x0000) },
  'crc16-ccitt': { bits: 16, compute: forward(16, 0x1021, 0xffff) },
  'crc16-xmodem': { bits: 16, compute: forward(16, 0x1021, 0x0000) },
};

function xor(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value ^= byte;
  return value;
}

function sum(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value += byte;
  return value;
}

/** A CRC that takes the least significant bit first; `polynomial` is written reversed, as is usual. */
function reflected(polynomial: number, initial: number): (bytes: Uint8Array) => number {
  const table = Uint16Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    return value;
  });
  return (bytes) => {
    let value = initial;
    for (const byte of bytes) value = (value >>> 8) ^ table[(value ^ byte) & 0xff]!;
    return value;
  };
}

/** A CRC of 16 bits that is sent with every bit inverted (ISO/IEC 13239, as SML and HDLC have it). */
function inverted(compute: (bytes: Uint8Array) => number): (bytes: Uint8Array) => number {
  return (bytes) => compute(bytes) ^ 0xffff;
}

/** A CRC that takes the most significant bit first. */
function forward(bits: 8 | 16, polynomial: number, initial: number): (bytes: Uint8Array) => number {
  const top = 1 << (bits - 1);
  const mask = (1 << bits) - 1;
  const table = Uint16Array.from({ length: 256 }, (_, index) => {
    let value = index << (bits - 8);
    for (let bit = 0; bit < 8; bit++) value = (value & top ? (value << 1) ^ polynomial : value << 1) & mask;
    return value;
  });
  return (bytes) => {
    let value = initial;
    for (const byte of bytes) value = ((value << 8) ^ table[(value >>> (bits - 8)) ^ byte]!) & mask;
    return value;
  };
}
