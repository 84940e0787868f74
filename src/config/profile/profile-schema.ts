import { z } from 'zod';
import { listFaults, pointFaults } from '../point-rules.ts';
import {
  identifyCheckSchema,
  limitsSchema,
  modbusPointSchema,
  pointDefaultsSchema,
} from './modbus-schema.ts';
import type { PointShape } from './modbus-schema.ts';
import { protocolSchema } from './protocol-schema.ts';
import { rangesSchema } from './range-schema.ts';
import { duration, pattern, rule } from './profile-scalars.ts';

const line = z.string().min(1).max(500);

const source = z
  .strictObject({
    title: line.describe('data sheet, manual or public program'),
    url: z.url().optional(),
    page: line.optional().describe('page, table or file in it'),
    says: line.optional().describe('what of the profile it supports'),
  })
  .describe('where the facts come from');

const setting = z.strictObject({
  default: z.string().max(64),
  pattern: pattern('values that it may take'),
  description: line,
});

const settingName = z.string().regex(/^[a-z][A-Za-z0-9]{0,31}$/);

const framePattern = pattern('a frame that only this kind of device sends');

const frameIdentity = z.strictObject({
  pattern: framePattern,
  others: z
    .array(
      z.strictObject({
        pattern: pattern('a frame that another kind of device sends'),
        is: line.describe('which'),
      }),
    )
    .min(1)
    .max(16)
    .describe('devices whose frames this profile would take, and which are others'),
});

/** What a profile file holds. The published config/profile.schema.json is made from it. */
export const profileSchema = z
  .strictObject({
    profile: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,63}$/)
      .describe('its name, which is also the file’s'),
    vendor: line,
    models: z.array(line).min(1).max(64).describe('models that it was made for'),
    description: line,
    notFor: z
      .array(
        z.strictObject({
          model: line,
          because: line.describe('what would come of it'),
          use: z.string().optional().describe('the profile that is for it'),
        }),
      )
      .min(1)
      .max(16)
      .optional()
      .describe('models that answer alike and must not be read with it'),
    interface: z
      .enum(['modbus-rtu', 'modbus-tcp', 'modbus', 'serial'])
      .describe('a map belongs to an interface: the same model may have another one elsewhere'),
    line: z
      .strictObject({
        baudRate: z.int().min(50).max(4_000_000),
        dataBits: z.union([z.literal(7), z.literal(8)]).default(8),
        parity: z.enum(['none', 'even', 'odd']).default('none'),
        stopBits: z.union([z.literal(1), z.literal(2)]).default(1),
      })
      .optional()
      .describe('serial settings as shipped'),
    unitId: z.int().min(0).max(255).optional().describe('Modbus unit id as shipped'),
    responseTimeout: duration('how long an answer may take').optional(),
    every: duration('interval where the device of the configuration has none').prefault('1s'),
    classes: z
      .strictObject({
        slow: duration('interval of slow points'),
        static: duration('interval of static points'),
      })
      .prefault({ slow: '30s', static: '1h' })
      .describe('intervals of points that need not be read each time'),
    limits: limitsSchema.prefault({}),
    identify: z
      .union([z.array(identifyCheckSchema).min(1).max(16), framePattern, frameIdentity])
      .describe('what proves that a device is of this kind: registers, or a pattern of its frames'),
    ranges: rangesSchema(
      'what is plausible, by unit, for points that have no min and max of their own',
    ).optional(),
    settings: z
      .record(settingName, setting)
      .optional()
      .describe('what a device may set; the protocol refers to it as {name}'),
    sunspec: z
      .strictObject({ bases: z.array(z.int().min(0).max(65_535)).min(1).max(8) })
      .optional()
      .describe('addresses at which the SunSpec marker may be'),
    pointDefaults: pointDefaultsSchema
      .prefault({})
      .describe('what points have where they do not say otherwise'),
    points: z.array(modbusPointSchema).min(1).max(1000).optional(),
    protocol: z.record(z.string(), z.unknown()).optional().describe('how the sensor talks'),
    sources: z.array(source).min(1),
    disagreements: z.array(line).optional().describe('where sources disagree, and what the profile follows'),
  })
  .superRefine(
    rule((profile, refuse) => {
      const isSerial = profile.interface === 'serial';
      if (isSerial && profile.protocol === undefined)
        refuse([], "'protocol' is missing; say how the sensor talks");
      if (isSerial && profile.points !== undefined)
        refuse(['points'], "'points' are for Modbus; declare fields in the protocol");
      if (!isSerial && profile.points === undefined) refuse([], "'points' is missing; list the registers");
      if (!isSerial && profile.protocol !== undefined)
        refuse(['protocol'], "'protocol' is for serial sensors; remove it");
      if (isSerial === Array.isArray(profile.identify)) {
        refuse(['identify'], isSerial ? 'write a pattern of a frame' : 'list registers to check');
      }
      for (const { path, message } of profilePointFaults(profile)) refuse(['points', ...path], message);
    }),
  );

export type ProfileShape = z.output<typeof profileSchema>;

interface Fault {
  path: (string | number)[];
  message: string;
}

/** Points with what `pointDefaults` adds to them, checked by the same rules as those of the configuration. */
function profilePointFaults({
  points = [],
  pointDefaults,
  sunspec,
}: Pick<ProfileShape, 'points' | 'pointDefaults' | 'sunspec'>): Fault[] {
  const alone = points.flatMap((point, index) => {
    const table = point.table ?? pointDefaults.table ?? (sunspec && 'holding');
    const placed = placeFaults(point, sunspec !== undefined, table);
    const type = point.type ?? pointDefaults.type;
    const keyed = table === undefined ? [] : pointFaults({ ...point, table, type });
    return [...placed, ...keyed].map(([key, message]) => ({ path: [index, key], message }));
  });
  const together = listFaults(points).map(({ index, key, message }) => ({ path: [index, key], message }));
  return [...alone, ...together];
}

/** Where a point lies: by its address, or where SunSpec's models say. */
function placeFaults(
  { name, address, model, register }: PointShape,
  isSunSpec: boolean,
  table: string | undefined,
): [key: string, message: string][] {
  const faults: [string, string][] = [];
  if (!isSunSpec && address === undefined) faults.push(['name', `'${name}' has no address; give it one`]);
  if (isSunSpec && (model === undefined || register === undefined)) {
    const message = `'${name}' needs its model and register; a SunSpec map has no fixed addresses`;
    faults.push(['name', message]);
  }
  if (table === undefined) faults.push(['name', `'${name}' has no table; give it one, or pointDefaults`]);
  return faults;
}

/** JSON Schema for editors: profiles, with the protocol that the main configuration has too. */
export function profileJsonSchema(): Record<string, unknown> {
  const { $schema, ...protocol } = z.toJSONSchema(protocolSchema, { io: 'input' });
  const profile = z.toJSONSchema(profileSchema, { io: 'input' });
  const properties = { ...profile.properties, protocol: { $ref: '#/$defs/protocol' } };
  return { ...profile, $schema, title: 'Merestone device profile', properties, $defs: { protocol } };
}
