import type { Value } from './sample.ts';

/** A whole number beyond 2^53 is a bigint: a double could not hold it. */
export type Limit = number | bigint;

/** The plausible values, in the point's unit, ends included; a value outside has quality `implausible`. */
export interface Range {
  min?: Limit;
  max?: Limit;
}

/** Whether a value is within its range. */
export type RangeCheck = (value: Value) => boolean;

/** Undefined for a range without ends. */
export function compileRange({ min, max }: Range): RangeCheck | undefined {
  if (min === undefined && max === undefined) return undefined;
  const [low, high] = [min ?? -Infinity, max ?? Infinity];
  return (value) => {
    const number = typeof value === 'string' ? integerOf(value) : value;
    // JavaScript compares numbers with bigints by value, without rounding.
    return typeof number === 'boolean' || number === undefined || (number >= low && number <= high);
  };
}

/** A value outside its range, with the point's name. */
export interface Outlier {
  point: Range & { name: string; unit?: string };
  value: Value;
}

/** One line for a status or a log: the first of them, and how many more there are. */
export function describeOutliers([first, ...others]: readonly [Outlier, ...Outlier[]]): string {
  const { name, unit } = first.point;
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  const value = unit === undefined ? first.value : `${first.value} ${unit}`;
  return `${name} is ${value}, not ${formatRange(first.point, unit)}${more}: implausible; compare profile, scale and wiring`;
}

/** `0 to 500 V`, `at least 0`. */
function formatRange({ min, max }: Range, unit?: string): string {
  const ends =
    min === undefined ? `at most ${max}` : max === undefined ? `at least ${min}` : `${min} to ${max}`;
  return unit === undefined ? ends : `${ends} ${unit}`;
}

const decimalInteger = /^-?\d+$/;

/** A 64-bit integer beyond 2^53, which a sample carries as text. */
function integerOf(text: string): bigint | undefined {
  return decimalInteger.test(text) ? BigInt(text) : undefined;
}
