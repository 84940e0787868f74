import { z } from 'zod';
import { protocolSchema } from './profile/protocol-schema.ts';
import { rangesSchema } from './profile/range-schema.ts';
import { pointFaults } from './point-rules.ts';
import {
  addressKey,
  byteOrderKey,
  invalidMarkers,
  pointKeys,
  tableKey,
  typeKey,
  wordOrderKey,
} from './point-schema.ts';
import { duration, label } from './yaml/scalars.ts';

const pointShape = z.strictObject({
  ...pointKeys,
  table: tableKey.describe('which of the four Modbus tables'),
  address: addressKey,
  type: typeKey.optional(),
  byteOrder: byteOrderKey.default('big'),
  wordOrder: wordOrderKey.default('big'),
  every: duration('10ms', '7d', "how often it is read; the device's interval where absent").optional(),
  invalid: invalidMarkers.optional(),
});
const point = pointShape
  .superRefine((value, context) => {
    for (const [key, message] of pointFaults(value))
      context.addIssue({ code: 'custom', path: [key], message });
  })
  .describe('one value of a Modbus device');

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
    measureMax: duration(
      '1s',
      '1000s',
      'the longest measurement that a plain serial device may announce (SDI-12: up to 999 s); 60s unless written',
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
