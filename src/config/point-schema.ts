import { z } from 'zod';
import { registerTypes } from '../reading/point.ts';
import type { InvalidMarker } from '../reading/registers.ts';
import { numberKey } from './profile/profile-scalars.ts';
import { rangeKeys } from './profile/range-schema.ts';
import { label } from './yaml/scalars.ts';

/*
 * The keys of a Modbus point, for the configuration and for profiles alike. Contradictions between
 * them are refused by point-rules.ts, for both.
 */

const order = z.enum(['big', 'little']);

/** A factor or summand of a value. */
export const finite = z
  .number()
  .refine((value) => Number.isFinite(value), { error: 'must be a finite number; write one' });

const marker: z.ZodType<InvalidMarker, number | string> = z.union(
  [
    z.enum(['nan', 'all-ones', 'int-min', 'int-max']),
    z.int(),
    z
      .string()
      .regex(/^(-?\d{1,20}|0x[0-9A-Fa-f]{1,16})$/)
      .transform((text) => BigInt(text)),
  ],
  { error: ({ input }) => markerFault(input) },
);

function markerFault(input: unknown): string {
  return `${JSON.stringify(input)} is no marker; write a raw number such as 0x8000 (in quotes beyond 2^53), nan, all-ones, int-min or int-max`;
}

/** One marker, or a list of them; an empty list removes the defaults of a profile. */
export const invalidMarkers = z
  .union([marker, z.array(marker).max(16)], { error: ({ input }) => markerFault(input) })
  .transform((markers) => [markers].flat())
  .describe('raw contents that mean "no value"');

export const tableKey = z.enum(['coil', 'discrete', 'input', 'holding']);
export const addressKey = z
  .int()
  .min(0)
  .max(65_535)
  .describe('zero-based, as in the request: 40001 of a manual is holding 0');
export const typeKey = z
  .enum(registerTypes)
  .describe('how the registers are read; bool for coil and discrete');
export const byteOrderKey = order.describe('order of the two bytes in a register');
export const wordOrderKey = order.describe('order of the registers in a value');

/** Every key of a point but those that say where it lies, how its registers are read, and how often. */
export const pointKeys = {
  name: label('name of the value'),
  unit: z
    .string()
    .min(1)
    .max(32)
    .optional()
    .describe('code of the SenML units registry (RFC 8428) where there is one'),
  scale: finite
    .refine((value) => value !== 0, { error: 'a scale of 0 makes every value 0; remove it' })
    .optional()
    .describe('value = raw × scale + offset'),
  offset: finite.optional().describe('added after scaling'),
  ...rangeKeys,
  scaleFrom: label('point of this device that holds the power of ten to scale by (SunSpec)').optional(),
  length: z.int().min(1).max(125).optional().describe('registers of a string, or of a number of 48 bits: 3'),
  half: z
    .enum(['high', 'low'])
    .optional()
    .describe('for int16 and uint16: the value is one byte of the register'),
  sign: z
    .literal('magnitude')
    .optional()
    .describe('for signed integers: the highest bit is the sign, the rest the magnitude'),
  bit: z
    .int()
    .min(0)
    .max(15)
    .optional()
    .describe('for bool in a register: which bit, 0 is the least significant'),
  bits: z
    .record(z.string().regex(/^([12]?[0-9]|3[01])$/), z.string().min(1).max(64))
    .optional()
    .describe('for bits: names by bit number; the value lists those that are set'),
  enum: z.record(numberKey(), z.string().min(1).max(64)).optional().describe('names by raw number'),
};
