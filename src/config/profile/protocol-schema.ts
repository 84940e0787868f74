import { z } from 'zod';
import type { SerialFieldOptions, SerialProtocol, SerialRequestStep } from '../../fieldbus/options.ts';
import { checksum, framing } from './frame-schema.ts';
import { messageSchema } from './serial-message-schema.ts';
import { fillWhere, occurrencesMax, type PatternSource } from '../../fieldbus/serial/occurrence.ts';
import { compilePattern } from '../../fieldbus/serial/pattern.ts';
import { content, duration, pattern, rule } from './profile-scalars.ts';

const groupName = z.string().regex(/^[A-Za-z_]\w{0,31}$/, { error: 'name a group of an earlier answer' });
const baudRate = z.int().min(50).max(4_000_000);

const step = z
  .strictObject({
    send: content('what to send; {name} is a group of an earlier answer').optional(),
    expect: pattern('the answer to wait for; any message where absent').optional(),
    framing: framing.optional(),
    checksum: checksum.optional(),
    timeout: z
      .union([duration('250ms, 5s'), z.strictObject({ secondsOf: groupName })])
      .optional()
      .describe('silence to bear, or the group that names its seconds; the response timeout where absent'),
    optional: z.boolean().default(false).describe('the dialogue goes on if no answer comes'),
    thenBaudRate: z
      .union([
        baudRate,
        z.strictObject({ group: groupName, rates: z.record(z.string().min(1).max(16), baudRate) }),
      ])
      .optional()
      .describe('baud rate to change to once this was sent'),
  })
  .transform(({ send, ...rest }): SerialRequestStep => {
    const parts = send === undefined ? undefined : send.isTemplate ? templateParts(send.text) : [send.text];
    return { ...defined(rest), ...(parts !== undefined && { send: parts }) };
  });

function templateParts(text: string): (string | { group: string })[] {
  return text
    .split(/(\{[A-Za-z_]\w*\})/)
    .filter((part) => part !== '')
    .map((part) => (/^\{\w+\}$/.test(part) ? { group: part.slice(1, -1) } : part));
}

/**
 * How a serial sensor talks, for profiles and for devices of the configuration that need no profile.
 * The shortest useful one: `messages: [{ pattern: '^(?<weight>[+-][\d.]+) kg', fields: [{ name: weight }] }]`.
 */
export const protocolSchema = z
  .strictObject({
    framing: framing.prefault({ by: 'line' }),
    checksum: checksum.prefault('none'),
    request: z
      .union([
        content('what to send').transform(({ text }): SerialRequestStep[] => [
          { send: [text], optional: false },
        ]),
        z.array(step).min(1).max(16),
      ])
      .optional()
      .describe('what to send to be answered, once an interval; absent: the sensor sends by itself'),
    messages: z
      .array(messageSchema)
      .min(1)
      .max(64)
      .describe('the kinds of frame; the first that fits is taken'),
  })
  .superRefine(
    rule((protocol, refuse) => {
      const { request, messages } = protocol;
      const faults = [...groupFaults(request), ...pointFaults(messages), ...costFaults(protocol)];
      for (const { path, message } of faults) refuse(path, message);
    }),
  )
  .transform((protocol): SerialProtocol => defined(protocol))
  .describe('how a serial sensor talks');

interface Fault {
  path: (string | number)[];
  message: string;
}

/** A step can only use what an earlier answer gave. */
function groupFaults(steps: readonly SerialRequestStep[] | undefined): Fault[] {
  const known = new Set<string>();
  const faults: Fault[] = [];
  for (const [index, { send, expect, timeout, thenBaudRate }] of (steps ?? []).entries()) {
    const need = (name: string | undefined, key: string): void => {
      if (name === undefined || known.has(name)) return;
      const message = `no earlier answer has the group '${name}'; name it in the 'expect' of a step before`;
      faults.push({ path: ['request', index, key], message });
    };
    for (const part of send ?? []) if (typeof part !== 'string') need(part.group, 'send');
    if (typeof timeout === 'object') need(timeout.secondsOf, 'timeout');
    if (typeof thenBaudRate === 'object') need(thenBaudRate.group, 'thenBaudRate');
    const groups = expect === undefined ? [] : compilePattern(expect).groups;
    for (const name of groups) if (name !== null) known.add(name);
  }
  return faults;
}

/** Some seconds on a slow machine, for a frame crafted against these patterns; microseconds for any other. */
const stepsMax = 32_000_000;

/** Bounds the cost of matching one frame, for any bytes on the line. */
function costFaults({ framing, messages }: Pick<SerialProtocol, 'framing' | 'messages'>): Fault[] {
  const patterns = messages.flatMap(({ pattern, validWhen, fields }) => [
    pattern,
    validWhen,
    ...fields.flatMap(({ from }) => (from.by === 'pattern' ? patternsOf(from) : [])),
  ]);
  const bytes = framing.by === 'fixed-length' ? framing.length : framing.bytesMax;
  const given = patterns.filter((source) => source !== undefined);
  const steps = given.reduce((sum, source) => sum + bytes * compilePattern(source).stepsPerByte, 0);
  if (steps <= stepsMax) return [];
  const message = `matching one frame of ${bytes} bytes could take ${steps} steps; lower bytesMax, or repeat less by number in the patterns`;
  return [{ path: ['framing'], message }];
}

/** As often as each may be matched with one frame. */
function patternsOf({ pattern, where, unless, dated }: PatternSource): string[] {
  const conditions = [where, unless].filter((each) => each !== undefined);
  const again = [pattern, ...conditions.map((each) => fillWhere(each, () => 'x'))];
  if (conditions.length === 0 && dated === undefined) return again;
  const repeated = Array.from({ length: occurrencesMax }, () => again).flat();
  return dated === undefined ? repeated : [...repeated, dated.by];
}

/** A point that several messages fill has one type, unit and range, and occurs once in each. */
function pointFaults(messages: SerialProtocol['messages']): Fault[] {
  const first = new Map<string, Pick<SerialFieldOptions, 'type' | 'unit' | 'min' | 'max'>>();
  const faults: Fault[] = [];
  for (const [message, { fields }] of messages.entries()) {
    const own = new Set<string>();
    for (const [field, { name, ...each }] of fields.entries()) {
      const known = first.get(name) ?? each;
      first.set(name, known);
      const path = ['messages', message, 'fields', field, 'name'];
      if (own.has(name))
        faults.push({ path, message: `'${name}' is there twice in one message; give each its own name` });
      else if ((['type', 'unit', 'min', 'max'] as const).some((key) => known[key] !== each[key])) {
        faults.push({
          path,
          message: `'${name}' has another type, unit or range in an earlier message; make them the same`,
        });
      }
      own.add(name);
    }
  }
  return faults;
}

/** The same without the keys that hold undefined: an option that is not given is absent. */
export function defined<T extends object>(
  value: T,
): { [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key] } & {
  [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined>;
} {
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries) as ReturnType<typeof defined<T>>;
}
