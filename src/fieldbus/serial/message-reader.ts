import type { Quality } from '../../reading/quality.ts';
import { compileRange, type Outlier } from '../../reading/range.ts';
import type { Value } from '../../reading/sample.ts';
import type { SerialMessageOptions } from '../options.ts';
import { compileField, type FrameView } from './fields.ts';
import { compilePattern, latin1 } from './pattern.ts';

/** The content of one frame: its points' values, or why they have none; both for a value outside of its range. */
export interface Telegram {
  values: Record<string, Value>;
  quality: Record<string, Quality>;
  /** Absent if all are good. */
  outliers?: Outlier[];
  /** Why all its values are implausible; each has that quality then. */
  contradiction?: string;
  /** Why values that belong together cannot all be true; those are then `invalid`. */
  inconsistency?: string;
}

export interface MessageReader {
  /** The content of a valid frame, or null if it matches no message. */
  read(frame: Uint8Array): Telegram | null;
  /** Quality `crc` for the points of the message that a damaged frame still resembles. */
  readDamaged(frame: Uint8Array): Telegram | null;
}

/** Frame → telegram, by the first message that fits; compiled once. Throws ProfileInvalid for a bad pattern. */
export function compileMessages(messages: readonly SerialMessageOptions[]): MessageReader {
  const readers = messages.map(compileMessage);
  return {
    read: (frame) => {
      for (const reader of readers) {
        const telegram = reader(frame);
        if (telegram !== null) return telegram;
      }
      return null;
    },
    readDamaged: (frame) => {
      const looksLike = readers.findIndex((reader) => reader(frame) !== null);
      const message = messages.length === 1 ? messages[0] : messages[looksLike];
      if (message === undefined) return null;
      const quality = Object.fromEntries(message.fields.map(({ name }) => [name, 'crc' as const]));
      return { values: {}, quality };
    },
  };
}

function compileMessage(message: SerialMessageOptions): (frame: Uint8Array) => Telegram | null {
  const pattern = message.pattern === undefined ? null : compilePattern(message.pattern);
  const validWhen = message.validWhen === undefined ? null : compilePattern(message.validWhen);
  const fields = message.fields.map((field) => ({
    field,
    read: compileField(field),
    isPlausible: compileRange(field) ?? (() => true),
  }));
  const { separator } = message;
  const findInconsistency = compileDescending(message.descending);
  return (bytes) => {
    const match = pattern?.match(bytes) ?? null;
    if (pattern !== null && match === null) return null;
    const isValid = validWhen === null || validWhen.match(bytes) !== null;
    const columns = separator === undefined ? [] : latin1(bytes).split(separator);
    const values: Record<string, Value> = {};
    const quality: Record<string, Quality> = {};
    const outliers: Outlier[] = [];
    for (const { field, read, isPlausible } of fields) {
      const { name } = field;
      const reading = read({ bytes, match, columns });
      if (reading.kind === 'absent') continue;
      if (reading.kind !== 'value' || !isValid) {
        quality[name] = reading.kind === 'stale' && isValid ? 'stale' : 'invalid';
        continue;
      }
      values[name] = reading.value;
      if (isPlausible(reading.value)) continue;
      quality[name] = 'implausible';
      outliers.push({ point: field, value: reading.value });
    }
    const inconsistency = findInconsistency({ bytes, match, columns });
    if (inconsistency !== undefined) {
      for (const { name } of message.descending!.fields) refuse(name, { values, quality });
    }
    return {
      values,
      quality,
      ...(outliers.length > 0 && { outliers }),
      ...(inconsistency !== undefined && { inconsistency }),
    };
  };
}

function refuse(name: string, { values, quality }: Telegram): void {
  if (!(name in values)) return;
  delete values[name];
  quality[name] = 'invalid';
}

/** Names the value that does not fit within the one before. */
function compileDescending(
  descending: SerialMessageOptions['descending'],
): (view: FrameView) => string | undefined {
  const readers = (descending?.fields ?? []).map((field) => ({
    name: field.name,
    read: compileField(field),
  }));
  return (view) => {
    const read = readers.flatMap(({ name, read: readField }) => {
      const reading = readField(view);
      return reading.kind === 'value' && typeof reading.value === 'number'
        ? [{ name, value: reading.value }]
        : [];
    });
    const index = read.findIndex(({ value }, at) => at > 0 && value > read[at - 1]!.value);
    if (index < 0) return undefined;
    const [before, here] = [read[index - 1]!, read[index]!];
    return `${here.name} is ${here.value}, and ${before.name}, which counts it too, ${before.value}: ${descending!.otherwise}`;
  };
}
