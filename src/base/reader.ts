/*
 * Readers of plain data from outside: each returns a value of its type for any input, and a harmless default for a
 * missing or wrong one. An object is rebuilt from its known members, so nothing else gets through.
 * One schema of readers is type, validation and defaults at once. It costs no memory beside its functions; a schema
 * library costs some 19 MB in every isolate (decision 64).
 */

export type Reader<T> = (value: unknown) => T;

/** The type that a reader returns. */
export type Read<R> = R extends Reader<infer T> ? T : never;

/** An optional member: `read` gets an existing value, and may reject it. */
export interface Optional<T> {
  optional: Reader<T | undefined>;
}

type Shape = Record<string, Reader<unknown> | Optional<unknown>>;
type OptionalKeys<S extends Shape> = {
  [K in keyof S]: S[K] extends Optional<unknown> ? K : never;
}[keyof S];
type ReadShape<S extends Shape> = {
  [K in Exclude<keyof S, OptionalKeys<S>>]: S[K] extends Reader<infer T> ? T : never;
} & {
  [K in OptionalKeys<S>]?: S[K] extends Optional<infer T> ? Exclude<T, undefined> : never;
};
type Simplify<T> = { [K in keyof T]: T[K] };

/** A reason names files and brokers; a longer one is an attempt to fill a log. */
const textMax = 2000;
/** Reasons for drops, fields of a log line, warnings of a certificate: each a handful. */
const entriesMax = 32;
/** The form of our own names of fields and reasons: nothing that could imitate another part of a log line. */
const namePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;
/**
 * What would move a terminal's cursor, begin a line or turn the reading direction: C0, DEL, C1, line and paragraph
 * separators, bidi controls (Unicode UAX #9 §2), and halves of a character.
 */
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** U+FFFD, in place of each removed character. */
const replacement = '\ufffd';

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A record of the members of `shape`, and of no others. */
export function object<S extends Shape>(shape: S): Reader<Simplify<ReadShape<S>>> {
  const members = Object.entries(shape);
  return (value) => {
    const from = isRecord(value) ? value : {};
    const read: Record<string, unknown> = {};
    for (const [key, member] of members) {
      const own = Object.hasOwn(from, key) ? from[key] : undefined;
      if (typeof member === 'function') read[key] = member(own);
      else {
        const present = own === undefined ? undefined : member.optional(own);
        if (present !== undefined) read[key] = present;
      }
    }
    return read as Simplify<ReadShape<S>>;
  };
}

export function optional<T>(read: Reader<T | undefined>): Optional<T> {
  return { optional: read };
}

export function orNull<T>(read: Reader<T>): Reader<T | null> {
  return (value) => (value === null || value === undefined ? null : read(value));
}

/** All elements, or the first few. */
export function list<T>(read: Reader<T>, elementsMax = Infinity): Reader<T[]> {
  return (value) => {
    if (!Array.isArray(value)) return [];
    const elements: unknown[] = value;
    return elements.slice(0, elementsMax).map((each) => read(each));
  };
}

/** The first few entries of a record that have a valid name. */
export function entries(value: unknown): [string, unknown][] {
  if (!isRecord(value)) return [];
  return Object.entries(value)
    .slice(0, entriesMax)
    .filter(([name]) => namePattern.test(name));
}

/** Counts by name: a few, each with the name of a field. */
export const namedCounts: Reader<Record<string, number>> = (value) =>
  Object.fromEntries(entries(value).map(([name, count]) => [name, number(count)]));

/** Counts by any name. */
export const counts: Reader<Record<string, number>> = (value) =>
  isRecord(value)
    ? Object.fromEntries(Object.entries(value).map(([name, count]) => [name, number(count)]))
    : {};

/** A count, a time, a size or a share: none of them is negative, and none is more than can be counted exactly. */
export const number: Reader<number> = (value) =>
  typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0;

/** Milliseconds since 1970 that a Date can show (ECMA-262 §21.4.1.1). */
export const instant: Reader<number> = (value) => (number(value) <= 8.64e15 ? number(value) : 0);

/** A text as it is. */
export const string: Reader<string> = (value) => (typeof value === 'string' ? value : '');

/** A text of bounded length that can do nothing to a terminal or a log. */
export function text(charactersMax: number = textMax): Reader<string> {
  return (value) => {
    const whole = string(value);
    const kept = whole.length > charactersMax ? `${whole.slice(0, charactersMax)}…` : whole;
    return kept.replace(unprintable, replacement);
  };
}

export const boolean: Reader<boolean> = (value) => value === true;

/** The value if it is one of them; else the first, the harmless default. */
export function oneOf<const T extends string>(names: readonly [T, ...T[]]): Reader<T> {
  return (value) => names.find((name) => name === value) ?? names[0];
}
