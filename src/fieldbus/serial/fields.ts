import { decodeText } from '../../reading/registers.ts';
import type { Value } from '../../reading/sample.ts';
import { compileScale } from '../../reading/scale.ts';
import type { SerialFieldOptions } from '../options.ts';
import { compileNumber, type TextReader } from './number-text.ts';
import { compileOccurrence } from './occurrence.ts';
import { latin1 } from './pattern.ts';
import type { PatternMatch } from './pattern.ts';

/** A frame as the fields of its message see it. */
export interface FrameView {
  bytes: Uint8Array;
  match: PatternMatch | null;
  columns: readonly string[];
}

/** `absent`: the frame does not hold the field; `invalid`: it holds it without a value; `stale`: with an old one. */
export type Reading = { kind: 'value'; value: Value } | { kind: 'invalid' | 'stale' | 'absent' };

const invalid: Reading = { kind: 'invalid' };
const stale: Reading = { kind: 'stale' };
const absent: Reading = { kind: 'absent' };

/** The reader of one field, made once. Throws ProfileInvalid for an invalid pattern. */
export function compileField(field: SerialFieldOptions): (view: FrameView) => Reading {
  return field.from.by === 'bytes' ? compileBytes(field, field.from) : compileTextField(field, field.from);
}

function compileTextField(
  field: SerialFieldOptions,
  from: Exclude<SerialFieldOptions['from'], { by: 'bytes' }>,
): (view: FrameView) => Reading {
  const toValue = compileText(field);
  const read = (text: string | undefined, negated = false): Reading => {
    const value = text === undefined ? undefined : toValue(textOf(text), negated);
    return readingOf(value);
  };
  const { negative } = field;
  const isNegated = ({ match, columns }: FrameView): boolean => {
    if (negative === undefined) return false;
    const sign = 'group' in negative ? match?.group(negative.group) : columns[negative.column];
    return sign !== undefined && negative.values.includes(sign.trim());
  };
  if (from.by === 'group') {
    return (view) => {
      const text = view.match?.group(from.group);
      return text === undefined ? absent : read(text, isNegated(view));
    };
  }
  if (from.by === 'pattern') {
    const find = compileOccurrence(from);
    return ({ bytes }) => {
      const found = find(bytes);
      if (found === null) return absent;
      return found.kind === 'outdated' ? stale : read(found.text);
    };
  }
  return (view) => read(view.columns[from.column], isNegated(view));
}

/** Patterns see bytes as Latin-1, in which the last byte of an 'à' in UTF-8 would pass for a blank. */
function textOf(latin1Text: string): string {
  const trimmed = latin1Text.replaceAll(/^[\t-\r ]+|[\t-\r ]+$/g, '');
  return /[\x80-\xff]/.test(trimmed) ? decodeText(Buffer.from(trimmed, 'latin1')) : trimmed;
}

const booleans: Readonly<Record<string, boolean>> = {
  1: true,
  true: true,
  on: true,
  yes: true,
  0: false,
  false: false,
  off: false,
  no: false,
};

function compileText(field: SerialFieldOptions): TextReader {
  const { type, enum: names, invalid: markers = [] } = field;
  const toNumber = compileNumber(field);
  return (text, negated) => {
    if (markers.includes(text)) return undefined;
    if (names !== undefined) return Object.hasOwn(names, text) ? names[text] : undefined;
    if (type === 'string') return text;
    if (type === 'bool') return booleans[text.toLowerCase()];
    return toNumber(text, negated);
  };
}

const bytesOfType: Readonly<Record<string, number>> = {
  bool: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
};

function compileBytes(
  field: SerialFieldOptions,
  from: SerialFieldOptions['from'] & { by: 'bytes' },
): (view: FrameView) => Reading {
  const { at, order } = from;
  const length = from.length ?? bytesOfType[field.type] ?? 1;
  const toValue = compileNumberOfBytes(field);
  return ({ bytes }) => {
    const start = at < 0 ? bytes.length + at : at;
    if (start < 0 || start + length > bytes.length) return absent;
    const part = bytes.subarray(start, start + length);
    const value = toValue(order === 'big' ? part : part.toReversed());
    return readingOf(value);
  };
}

/** A scale may take a number beyond the largest double. */
function readingOf(value: Value | undefined): Reading {
  const isValue = typeof value === 'number' ? Number.isFinite(value) : value !== undefined;
  return isValue ? { kind: 'value', value: value! } : invalid;
}

/** Big-endian bytes → value. */
function compileNumberOfBytes(field: SerialFieldOptions): (bytes: Uint8Array) => Value | undefined {
  const { type, scale, offset, enum: names, invalid: markers = [] } = field;
  const applyScale = compileScale(scale, offset);
  const scaled = scale !== undefined || offset !== undefined;
  if (type === 'string') {
    return (bytes) => {
      const text = textOf(latin1(bytes).replace(/\0.*$/s, ''));
      return markers.includes(text) ? undefined : text;
    };
  }
  if (type === 'bool') return (bytes) => bytes.some((byte) => byte !== 0);
  if (type === 'float32' || type === 'float64') {
    return (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const raw = type === 'float32' ? view.getFloat32(0) : view.getFloat64(0);
      return Number.isFinite(raw) ? applyScale(raw) : undefined;
    };
  }
  const signed = type.startsWith('int');
  return (bytes) => {
    const raw = integerOf(bytes, signed);
    const text = String(raw);
    if (markers.includes(text)) return undefined;
    if (names !== undefined) return Object.hasOwn(names, text) ? names[text] : undefined;
    const isExact = raw >= BigInt(Number.MIN_SAFE_INTEGER) && raw <= BigInt(Number.MAX_SAFE_INTEGER);
    return isExact || scaled ? applyScale(Number(raw)) : text;
  };
}

function integerOf(bytes: Uint8Array, signed: boolean): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return signed ? BigInt.asIntN(bytes.length * 8, value) : value;
}
