import { z } from 'zod';
import type { RegisterType } from '../../reading/point.ts';
import type { SerialFieldOptions, SerialMessageOptions } from '../../fieldbus/options.ts';
import { fillWhere, placeholdersOf } from '../../fieldbus/serial/occurrence.ts';
import { compilePattern } from '../../fieldbus/serial/pattern.ts';
import { rangeFaults, rangeKeys } from './range-schema.ts';
import { label } from '../yaml/scalars.ts';
import { duration, pattern, patternFault, rule } from './profile-scalars.ts';

/** Types of a field, with the value's public type and, if that is wider, the field's bytes. */
const fieldTypes = {
  bool: ['bool'],
  int8: ['int16', 1],
  uint8: ['uint16', 1],
  int16: ['int16'],
  uint16: ['uint16'],
  int24: ['int32', 3],
  uint24: ['uint32', 3],
  int32: ['int32'],
  uint32: ['uint32'],
  int64: ['int64'],
  uint64: ['uint64'],
  float32: ['float32'],
  float64: ['float64'],
  string: ['string'],
} as const satisfies Record<string, readonly [RegisterType, number?]>;

const typeNames = Object.keys(fieldTypes) as (keyof typeof fieldTypes)[];
const number = z
  .number()
  .refine((value) => Number.isFinite(value), { error: 'must be a finite number; write one' });
const column = z.int().min(0).max(255);

const signs = z.array(z.string().max(16)).min(1).max(8);

const fieldShape = z.strictObject({
  name: label('name of the value'),
  unit: z
    .string()
    .min(1)
    .max(32)
    .optional()
    .describe('code of the SenML units registry (RFC 8428) where there is one'),
  type: z.enum(typeNames).default('float64'),
  scale: number.optional().describe('value = raw × scale + offset'),
  offset: number.optional(),
  ...rangeKeys,
  enum: z
    .record(z.string().max(64), z.union([z.string().max(64), number]))
    .optional()
    .describe('values by raw text or number'),
  invalid: z
    .array(z.union([z.string().max(64), z.number()]))
    .max(16)
    .optional()
    .describe('raw texts or numbers that mean "no value"'),
  notation: z
    .enum(['decimal', 'decimal-comma', 'hex', 'degrees-minutes'])
    .default('decimal')
    .describe('how digits read'),
  negative: z
    .union([z.strictObject({ column, values: signs }), z.strictObject({ group: z.string(), values: signs })])
    .optional()
    .describe('column or named group whose text, one of these, turns the sign'),
  optional: z
    .boolean()
    .default(false)
    .describe('not every model sends it: not missed before it has come once'),
  group: z
    .string()
    .optional()
    .describe('named group of the message’s pattern; the one of the field’s name where no source is given'),
  pattern: pattern(
    'a pattern of its own, whose group named value, else its first one, is the value',
  ).optional(),
  where: z
    .string()
    .max(1024)
    .optional()
    .describe('pattern that must hold in the frame, too; {name} is a named group of the other one'),
  unless: z.string().max(1024).optional().describe('the same, and must not hold'),
  dated: z
    .strictObject({
      by: pattern('pattern whose first group is the time of the whole frame, YYMMDDhhmmss with S or W'),
      within: duration('what has a time, the group of that name, longer before it is stale'),
    })
    .optional()
    .describe('for values that come with a time of their own'),
  column: column.optional().describe('column, from 0; the message then has a separator'),
  at: z
    .int()
    .min(-4096)
    .max(4095)
    .optional()
    .describe('offset of the first byte; negative counts from the end'),
  order: z.enum(['big', 'little']).default('big').describe('order of the bytes at that offset'),
  length: z.int().min(1).max(256).optional().describe('bytes of a string'),
});

type FieldShape = z.output<typeof fieldShape>;

const field = fieldShape
  .superRefine(
    rule((shape, refuse) => {
      for (const [key, message] of fieldFaults(shape)) refuse([key], message);
    }),
  )
  .transform(toField);

const sources = ['group', 'pattern', 'column', 'at'] as const;

function fieldFaults(shape: FieldShape): [keyof FieldShape, string][] {
  const faults: [keyof FieldShape, string][] = rangeFaults({ ...shape, type: fieldTypes[shape.type][0] });
  const given = sources.filter((key) => shape[key] !== undefined);
  const isText = shape.at === undefined;
  if (given.length > 1)
    faults.push([given[1]!, `both '${given[0]}' and '${given[1]}' give its place; keep one`]);
  if (isText && shape.length !== undefined)
    faults.push(['length', "'length' is for strings at an offset; remove it"]);
  if (!isText && shape.type === 'string' && shape.length === undefined) {
    faults.push(['length', "a string at an offset needs its 'length'; write how many bytes it takes"]);
  }
  if (!isText && shape.type !== 'string' && shape.length !== undefined) {
    faults.push(['length', "'length' is for strings; a number's type says how many bytes it takes"]);
  }
  if (!isText && shape.notation !== 'decimal') faults.push(['notation', 'bytes have no notation; remove it']);
  const { negative } = shape;
  if (negative !== undefined && 'column' in negative && shape.column === undefined) {
    faults.push([
      'negative',
      'a sign can be in a column of its own only if the value is in one; give its column',
    ]);
  }
  const isOfGroup = shape.column === undefined && shape.pattern === undefined && isText;
  if (negative !== undefined && 'group' in negative && !isOfGroup) {
    faults.push([
      'negative',
      'a sign can be in a group of its own only if the value is in one; give its group',
    ]);
  }
  const groups = shape.pattern === undefined ? undefined : compilePattern(shape.pattern).groups;
  if (groups?.length === 0) faults.push(['pattern', 'the pattern has no group; put ( ) round the value']);
  return [...faults, ...occurrenceFaults(shape, groups)];
}

function occurrenceFaults(
  { where, unless, dated }: FieldShape,
  groups: readonly (string | null)[] | undefined,
): [keyof FieldShape, string][] {
  const faults: [keyof FieldShape, string][] = [];
  for (const [key, given] of [
    ['where', where],
    ['unless', unless],
    ['dated', dated],
  ] as const) {
    if (given !== undefined && groups === undefined) {
      faults.push([key, `'${key}' is for a field with a pattern of its own; give it one`]);
    }
  }
  if (groups === undefined) return faults;
  for (const [key, condition] of [
    ['where', where],
    ['unless', unless],
  ] as const) {
    if (condition === undefined) continue;
    const stray = placeholdersOf(condition).find((name) => !groups.includes(name));
    const fault = patternFault(fillWhere(condition, () => 'x'));
    if (stray !== undefined) {
      faults.push([key, `the pattern has no group '${stray}'; write (?<${stray}>…) in it`]);
    } else if (fault !== undefined) faults.push([key, fault]);
  }
  if (dated !== undefined && !groups.includes('time')) {
    faults.push(['dated', "the pattern has no group 'time'; write (?<time>…) round the time"]);
  }
  return faults;
}

function toField(shape: FieldShape): SerialFieldOptions {
  const { name, unit, scale, offset, min, max, enum: names, invalid, notation, negative, optional } = shape;
  const [type] = fieldTypes[shape.type];
  return {
    name,
    type,
    notation,
    optional,
    from: sourceOf(shape),
    ...(unit !== undefined && { unit }),
    ...(scale !== undefined && { scale }),
    ...(offset !== undefined && { offset }),
    ...(min !== undefined && { min }),
    ...(max !== undefined && { max }),
    ...(names !== undefined && { enum: names }),
    ...(invalid !== undefined && { invalid: invalid.map(String) }),
    ...(negative !== undefined && { negative }),
  };
}

function sourceOf(shape: FieldShape): SerialFieldOptions['from'] {
  const { pattern: own, where, unless, dated } = shape;
  if (own !== undefined) {
    return {
      by: 'pattern',
      pattern: own,
      ...(where !== undefined && { where }),
      ...(unless !== undefined && { unless }),
      ...(dated !== undefined && { dated: { by: dated.by, withinMs: dated.within } }),
    };
  }
  if (shape.column !== undefined) return { by: 'column', column: shape.column };
  if (shape.at === undefined) return { by: 'group', group: shape.group ?? shape.name };
  const [, width] = fieldTypes[shape.type] as readonly [RegisterType, number?];
  const length = shape.length ?? width;
  return { by: 'bytes', at: shape.at, order: shape.order, ...(length !== undefined && { length }) };
}

/** One kind of frame and the values in it. */
export const messageSchema = z
  .strictObject({
    pattern: pattern('which frames are of this kind; every one where absent').optional(),
    validWhen: pattern('frames of this kind that do not fit this hold no valid value').optional(),
    separator: z.string().min(1).max(4).optional().describe('text between columns'),
    every: duration(
      'how often the sensor sends it, where that is rarer than the device’s interval',
    ).optional(),
    fields: z.array(field).max(256),
    descending: z
      .strictObject({
        fields: z.array(z.string()).min(2).max(16),
        otherwise: z.string().min(1).max(300).describe('what the sensor may be where it is not so'),
      })
      .optional()
      .describe('fields of which each holds the next one within it, such as counts of ever larger particles'),
  })
  .superRefine(
    rule(({ pattern: source, separator, fields, descending }, refuse) => {
      const stray = descending?.fields.find((name) => !fields.some((each) => each.name === name));
      if (stray !== undefined) {
        refuse(['descending', 'fields'], `there is no field '${stray}'; name those of this message`);
      }
      const groups = source === undefined ? [] : compilePattern(source).groups;
      for (const [index, { from, negative }] of fields.entries()) {
        if (negative !== undefined && 'group' in negative && !groups.includes(negative.group)) {
          const message = `the pattern has no group '${negative.group}'; write (?<${negative.group}>…) round the sign`;
          refuse(['fields', index, 'negative'], message);
        }
        if (from.by === 'group' && !groups.includes(from.group)) {
          const message = `the pattern has no group '${from.group}'; write (?<${from.group}>…) in it, or give column, at or pattern`;
          refuse(['fields', index], message);
        }
        if (from.by === 'column' && separator === undefined) {
          refuse(['fields', index], "columns need a 'separator'; give the message one");
        }
      }
    }),
  )
  .transform(
    ({ pattern: source, validWhen, separator, every, fields, descending }): SerialMessageOptions => ({
      fields,
      ...(descending !== undefined && {
        descending: {
          fields: descending.fields.map((name) => fields.find((each) => each.name === name)!),
          otherwise: descending.otherwise,
        },
      }),
      ...(source !== undefined && { pattern: source }),
      ...(validWhen !== undefined && { validWhen }),
      ...(separator !== undefined && { separator }),
      ...(every !== undefined && { everyMs: every }),
    }),
  );
