/** A reason names files and brokers; what is longer came from somebody who wants to fill a log. */
const textMax = 2000;
/** Reasons for drops, fields of a log line, warnings of a certificate: each a handful. */
const entriesMax = 32;
/** As the names of our own fields and reasons are: nothing that could pass for something else in a line of a log. */
const namePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;
/**
 * What would move a terminal's cursor, begin a line or turn the reading direction: C0, DEL, C1, line and paragraph
 * separators, bidi controls (Unicode UAX #9 §2), and halves of a character.
 */
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** U+FFFD: something stood here. */
const replacement = '\ufffd';

export type UnknownRecord = Record<string, unknown>;

export function isRecord(value: unknown): value is UnknownRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function record(value: unknown): UnknownRecord {
  return isRecord(value) ? value : {};
}

/** Of a record's entries the first few, and of these those with a name. */
export function entries(value: unknown): [string, unknown][] {
  return Object.entries(record(value))
    .slice(0, entriesMax)
    .filter(([name]) => namePattern.test(name));
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, entriesMax) : [];
}

/** A count, a time, a size or a share: none of them is negative, and none is more than can be counted exactly. */
export function number(value: unknown): number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0;
}

/** Milliseconds since 1970 that a Date can show (ECMA-262 §21.4.1.1). */
export function instant(value: unknown): number {
  return number(value) <= 8.64e15 ? number(value) : 0;
}

export function text(value: unknown, charactersMax = textMax): string {
  const whole = typeof value === 'string' ? value : '';
  const kept = whole.length > charactersMax ? `${whole.slice(0, charactersMax)}…` : whole;
  return kept.replace(unprintable, replacement);
}

export function orNull<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null || value === undefined ? null : read(value);
}

/** The value, where it is one of them; else the first, which is the least that can be meant. */
export function oneOf<T extends string>(value: unknown, names: readonly [T, ...T[]]): T {
  return names.find((name) => name === value) ?? names[0];
}
