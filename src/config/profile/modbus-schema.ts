import { z } from 'zod';
import { registerTypes } from '../../reading/point.ts';
import type { InvalidMarker } from '../../reading/registers.ts';
import { rangeKeys } from './range-schema.ts';
import { duration, numberKey, pattern, pointName, rule } from './profile-scalars.ts';

const order = z.enum(['big', 'little']);
const table = z.enum(['coil', 'discrete', 'input', 'holding']);
const number = z
  .number()
  .refine((value) => Number.isFinite(value), { error: 'must be a finite number; write one' });
const address = z.int().min(0).max(65_535).describe('zero-based, as on the wire');

/** How often a value is worth reading: `fast` at the device's interval, `slow` and `static` ones more rarely. */
const pointClass = z.enum(['fast', 'slow', 'static']);

const namedMarkers = z.enum(['nan', 'all-ones', 'int-min', 'int-max']);
const marker: z.ZodType<InvalidMarker> = z.union(
  [
    namedMarkers,
    z.int(),
    z
      .string()
      .regex(/^(-?\d{1,20}|0x[0-9A-Fa-f]{1,16})$/)
      .transform((text) => BigInt(text)),
  ],
  {
    error: ({ input }) =>
      `${JSON.stringify(input)} is no marker; write a raw number, nan, all-ones, int-min or int-max`,
  },
);

/** What most points of a map have in common is said once. */
const common = {
  table: table.optional(),
  type: z.enum(registerTypes).optional(),
  byteOrder: order.optional(),
  wordOrder: order.optional(),
  class: pointClass.optional(),
  invalid: z.array(marker).max(8).optional().describe('raw contents that mean "no value"'),
};
export const pointDefaultsSchema = z.strictObject(common);

/** How a value lies in its registers, beside type and order; for points of the configuration too. */
export const layoutKeys = {
  length: z.int().min(1).max(125).optional().describe('registers of a string, or of a number of 48 bits: 3'),
  half: z
    .enum(['high', 'low'])
    .optional()
    .describe('for int16 and uint16: the value is one byte of the register'),
  sign: z
    .literal('magnitude')
    .optional()
    .describe('for signed integers: the highest bit is the sign, the rest the magnitude'),
};

export const modbusPointSchema = z.strictObject({
  ...common,
  name: pointName(),
  address: address.optional(),
  model: z
    .array(z.int().min(1).max(65_534))
    .min(1)
    .max(16)
    .optional()
    .describe('SunSpec models that have it'),
  register: z
    .int()
    .min(0)
    .max(2000)
    .optional()
    .describe('its place in the model, from the model’s id register'),
  unit: z
    .string()
    .min(1)
    .max(32)
    .optional()
    .describe('code of the SenML units registry (RFC 8428) where there is one'),
  scale: number.optional().describe('value = raw × scale + offset'),
  offset: number.optional(),
  ...rangeKeys,
  internal: z.literal(true).optional().describe('read for others to be scaled by, and not given out'),
  scaleFrom: z.string().optional().describe('point that holds the power of ten to scale by'),
  ...layoutKeys,
  bit: z.int().min(0).max(15).optional(),
  bits: z.record(z.string().regex(/^([12]?\d|3[01])$/), z.string().min(1).max(64)).optional(),
  enum: z.record(numberKey(), z.string().min(1).max(64)).optional(),
});

export type PointShape = z.output<typeof modbusPointSchema>;

const expectation = {
  equals: z.union([z.string(), number]).optional(),
  oneOf: z
    .array(z.union([z.string(), number]))
    .min(1)
    .max(64)
    .optional(),
  matches: pattern('for text: what it looks like').optional(),
  between: z
    .tuple([number, number])
    .optional()
    .describe('for what it measures: wide enough for every sound device'),
};

const registerCheck = z.strictObject({
  table,
  address,
  type: z.enum(registerTypes),
  byteOrder: order.default('big'),
  wordOrder: order.default('big'),
  scale: number.optional(),
  length: z.int().min(1).max(125).optional(),
  invalid: z.array(marker).max(8).optional().describe('raw contents that say nothing'),
  ...expectation,
});

const objectCheck = z.strictObject({
  object: z
    .int()
    .min(0)
    .max(6)
    .describe('of Read Device Identification (43/14): 0 vendor, 1 product code, 2 revision, 5 model'),
  ...expectation,
});

const expectations = ['equals', 'oneOf', 'matches', 'between'] as const;

/** What a device says of itself when it is asked. All checks of a profile must hold. */
export const identifyCheckSchema = z.union([registerCheck, objectCheck]).superRefine(
  rule((check, refuse) => {
    const given = expectations.filter((key) => check[key] !== undefined);
    const isText = 'object' in check || check.type === 'string';
    if (given.length !== 1) {
      refuse(
        [],
        'a check needs one of equals, oneOf and between, or matches for text; write the one that the data sheet supports',
      );
    } else if (given[0] === 'matches' && !isText) {
      refuse(['matches'], "'matches' is for text; write equals, oneOf or between");
    } else if (given[0] === 'between' && isText) {
      refuse(['between'], "'between' is for numbers; write equals, oneOf or matches");
    }
    if ('type' in check && check.type === 'string' && check.length === undefined)
      refuse(['type'], "a string needs its 'length' in registers; write it");
  }),
);

export type IdentifyCheckShape = z.output<typeof identifyCheckSchema>;

export const limitsSchema = z.strictObject({
  registersMax: z.int().min(1).max(125).default(125).describe('registers in one request'),
  bitsMax: z.int().min(1).max(2000).default(2000).describe('coils or discrete inputs in one request'),
  gapMax: z.int().min(0).max(124).optional().describe('unwanted registers that may be read along'),
  requestGap: duration('silence that the device needs between requests').prefault('0ms'),
});
