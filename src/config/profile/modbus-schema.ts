import { z } from 'zod';
import {
  addressKey,
  byteOrderKey,
  finite,
  invalidMarkers,
  pointKeys,
  tableKey,
  typeKey,
  wordOrderKey,
} from '../point-schema.ts';
import { duration, pattern, rule } from './profile-scalars.ts';

/** How often a value is worth reading: `fast` at the device's interval, `slow` and `static` ones more rarely. */
const pointClass = z.enum(['fast', 'slow', 'static']);

/** Defaults for the points of a map. */
const common = {
  table: tableKey.optional(),
  type: typeKey.optional(),
  byteOrder: byteOrderKey.optional(),
  wordOrder: wordOrderKey.optional(),
  class: pointClass.optional(),
  invalid: invalidMarkers.optional(),
};
export const pointDefaultsSchema = z.strictObject(common);

export const modbusPointSchema = z.strictObject({
  ...common,
  ...pointKeys,
  address: addressKey.optional(),
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
  internal: z.literal(true).optional().describe('read for others to be scaled by, and not given out'),
});

export type PointShape = z.output<typeof modbusPointSchema>;

const expectation = {
  equals: z.union([z.string(), finite]).optional(),
  oneOf: z
    .array(z.union([z.string(), finite]))
    .min(1)
    .max(64)
    .optional(),
  matches: pattern('for text: what it looks like').optional(),
  between: z
    .tuple([finite, finite])
    .optional()
    .describe('for what it measures: wide enough for every sound device'),
};

const registerCheck = z.strictObject({
  table: tableKey,
  address: addressKey,
  type: typeKey,
  byteOrder: byteOrderKey.default('big'),
  wordOrder: wordOrderKey.default('big'),
  scale: pointKeys.scale,
  length: pointKeys.length,
  invalid: invalidMarkers.optional(),
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
