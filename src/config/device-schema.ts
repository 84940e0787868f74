import { z } from 'zod';
import { layoutKeys } from './profile/modbus-schema.ts';
import { protocolSchema } from './profile/protocol-schema.ts';
import { rangeKeys, rangesSchema } from './profile/range-schema.ts';
import { numberKey } from './profile/profile-scalars.ts';
import { registerTypes } from '../reading/point.ts';
import { pointFaults } from './point-rules.ts';
import { duration, label } from './yaml/scalars.ts';

export const tables = ['coil', 'discrete', 'input', 'holding'] as const;

const order = z.enum(['big', 'little']).default('big');
const factor = z
  .number()
  .refine((value) => Number.isFinite(value), { error: 'must be a finite number; write one' });

const marker = z.union(
  [z.int(), z.string().regex(/^(nan|all-ones|int-min|int-max|-?\d+|0x[0-9A-Fa-f]{1,16})$/)],
  {
    error: ({ input }) =>
      `${JSON.stringify(input)} is no marker; write a raw number such as 0x8000 (in quotes beyond 2^53), nan, all-ones, int-min or int-max`,
  },
);

const pointShape = z.strictObject({
  name: label('name of the value'),
  table: z.enum(tables).describe('which of the four Modbus tables'),
  address: z.int().min(0).max(65_535).describe('zero-based, as on the wire: 40001 of a manual is holding 0'),
  type: z.enum(registerTypes).optional().describe('how the registers are read; bool for coil and discrete'),
  byteOrder: order.describe('order of the two bytes in a register'),
  wordOrder: order.describe('order of the registers in a value'),
  scale: factor
    .refine((value) => value !== 0, { error: 'a scale of 0 makes every value 0; remove it' })
    .optional()
    .describe('value = raw × scale + offset'),
  offset: factor.optional().describe('added after scaling'),
  ...rangeKeys,
  scaleFrom: label('point of this device that holds the power of ten to scale by (SunSpec)').optional(),
  unit: z
    .string()
    .min(1)
    .max(32)
    .optional()
    .describe('code of the SenML units registry (RFC 8428) where there is one'),
  every: duration('10ms', '7d', "how often it is read; the device's interval where absent").optional(),
  ...layoutKeys,
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
  invalid: z
    .union([marker, z.array(marker).min(1).max(16)], { error: ({ input }) => markerFault(input) })
    .optional()
    .describe('raw contents that mean "no value"'),
});
const point = pointShape
  .superRefine((value, context) => {
    for (const [key, message] of pointFaults(value))
      context.addIssue({ code: 'custom', path: [key], message });
  })
  .describe('one value of a Modbus device');

function markerFault(input: unknown): string {
  return `${JSON.stringify(input)} is no marker; write a raw number such as 0x8000 (in quotes beyond 2^53), nan, all-ones, int-min or int-max`;
}

export const deviceSchema = z
  .strictObject({
    name: label('name of the device, unique within its silo'),
    silo: label('whose it is; may be left out where there is one silo').optional(),
    bus: label('what it hangs on'),
    unitId: z
      .int()
      .min(0)
      .max(255)
      .optional()
      .describe('Modbus unit id: 1 to 247 on a serial line (see unitIdMax of the bus), 0 to 255 by TCP'),
    shared: z
      .boolean()
      .default(false)
      .describe('says on purpose that another device of this file reads the same unit'),
    profile: label('a profile that knows its registers or its protocol').optional(),
    settings: z
      .record(z.string(), z.union([z.string().max(64), z.number()]))
      .optional()
      .describe("values for the profile's own settings"),
    only: z
      .array(label('point'))
      .min(1)
      .max(2000)
      .optional()
      .describe('points of the profile to read; all where absent'),
    ranges: rangesSchema(
      "what is plausible, by point or unit, where the profile's own range does not fit",
    ).optional(),
    identify: z
      .enum(['on', 'off'])
      .default('on')
      .describe('whether the device is asked what it is, as its profile has it'),
    every: duration(
      '10ms',
      '7d',
      "how often it is read, or how long a sensor that sends by itself may be silent; the profile's, else 1s",
    ).optional(),
    responseTimeout: duration(
      '10ms',
      '60s',
      "how long an answer may take; the profile's, else 1s",
    ).optional(),
    registersMax: z
      .int()
      .min(1)
      .max(125)
      .optional()
      .describe("registers in one request; the profile's, else 125"),
    bitsMax: z
      .int()
      .min(1)
      .max(2000)
      .optional()
      .describe("coils or discrete inputs in one request; the profile's, else 2000"),
    gapMax: z
      .int()
      .min(0)
      .max(124)
      .optional()
      .describe('unwanted registers read along to join two wanted ones; what is cheapest where absent'),
    requestGap: duration(
      '0ms',
      '10s',
      "silence that the device needs between requests; the profile's, else 0ms",
    ).optional(),
    points: z.array(point).min(1).max(2000).optional().describe('its values, where it has no profile'),
    protocol: protocolSchema.optional().describe('how a serial sensor without a profile talks'),
  })
  .describe('one unit on a bus');

export type PointConfig = z.output<typeof point>;
export type DeviceConfig = z.output<typeof deviceSchema>;
