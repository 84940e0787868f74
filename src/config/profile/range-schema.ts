import { z } from 'zod';
import type { RegisterType } from '../../reading/point.ts';
import type { Limit, Range } from '../../reading/range.ts';
import { rule } from './profile-scalars.ts';

/** 2^64: beyond it there is no integer that a device could send and a double could not hold. */
const integersEnd = 2 ** 64;

/** A number as YAML has it, or a whole number in quotes that a double could not hold. */
function limit(what: string): z.ZodType<Limit, number | string> {
  return z
    .union([z.number(), z.string().regex(/^-?\d{1,20}$/, { error: limitFault })], { error: limitFault })
    .superRefine(
      rule((value, refuse) => {
        if (typeof value === 'string' || Number.isSafeInteger(value) || !Number.isInteger(value)) return;
        if (Math.abs(value) < integersEnd)
          refuse([], 'an integer beyond 2^53 is not exact as a number; write it in quotes');
      }),
    )
    .transform((value) => (typeof value === 'string' ? limitOf(BigInt(value)) : value))
    .describe(what);
}

function limitFault({ input }: { input?: unknown }): string {
  return `${JSON.stringify(input)} is no limit; write a number, in quotes for an integer beyond 2^53`;
}

function limitOf(value: bigint): Limit {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** The keys that bound a point's plausible values. */
export const rangeKeys = {
  min: limit(
    'least plausible value, in the unit of the point; what is below has quality implausible',
  ).optional(),
  max: limit('greatest plausible value, in the unit of the point').optional(),
};

interface RangedPoint {
  type?: RegisterType | undefined;
  enum?: unknown;
  min?: Limit | undefined;
  max?: Limit | undefined;
}

/** Faults of `min` and `max`, each `what is wrong; what to do`. */
export function rangeFaults({
  type = 'bool',
  enum: names,
  min,
  max,
}: RangedPoint): [key: keyof Range, message: string][] {
  const key = min !== undefined ? 'min' : max !== undefined ? 'max' : undefined;
  if (key === undefined) return [];
  if (!isNumeric(type)) return [[key, `'${key}' does not go with type '${type}'; it is for numbers`]];
  if (names !== undefined) return [[key, `'${key}' does not go with 'enum', which gives names; remove one`]];
  if (min !== undefined && max !== undefined && min > max)
    return [['min', `min ${min} is above max ${max}; no value could be plausible, so correct one`]];
  return [];
}

/** Whether a value of the type is a number. */
export function isNumeric(type: RegisterType): boolean {
  return type !== 'bool' && type !== 'string' && type !== 'bits';
}

/** Ranges by what they are of. */
export function rangesSchema(what: string) {
  const range = z.strictObject(rangeKeys).superRefine(
    rule(({ min, max }, refuse) => {
      for (const [key, message] of rangeFaults({ type: 'float64', min, max })) refuse([key], message);
    }),
  );
  return z.record(z.string().min(1).max(64), range).describe(what);
}

export type Ranges = Readonly<Record<string, { min?: Limit | undefined; max?: Limit | undefined }>>;
