import type { Quality } from '../../reading/quality.ts';
import type { Value } from '../../reading/sample.ts';
import type { SerialMessageOptions } from '../options.ts';
import { compileField } from './fields.ts';
import { compilePattern, latin1 } from './pattern.ts';

/** What one frame says: its points' values, or why they have none. */
export interface Telegram {
  values: Record<string, Value>;
  quality: Record<string, Quality>;
}

export interface MessageReader {
  /** A sound frame's content, or null where it is none of the messages. */
  read(frame: Uint8Array): Telegram | null;
  /** What a damaged frame costs: quality `crc` for the points of the message that it still looks like. */
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
      return { values: {}, quality: Object.fromEntries(message.fields.map(({ name }) => [name, 'crc'])) };
    },
  };
}

function compileMessage(message: SerialMessageOptions): (frame: Uint8Array) => Telegram | null {
  const pattern = message.pattern === undefined ? null : compilePattern(message.pattern);
  const validWhen = message.validWhen === undefined ? null : compilePattern(message.validWhen);
  const fields = message.fields.map((field) => ({ name: field.name, read: compileField(field) }));
  const { separator } = message;
  return (bytes) => {
    const match = pattern?.match(bytes) ?? null;
    if (pattern !== null && match === null) return null;
    const isValid = validWhen === null || validWhen.match(bytes) !== null;
    const columns = separator === undefined ? [] : latin1(bytes).split(separator);
    const values: Record<string, Value> = {};
    const quality: Record<string, Quality> = {};
    for (const { name, read } of fields) {
      const reading = read({ bytes, match, columns });
      if (reading.kind === 'absent') continue;
      if (reading.kind === 'value' && isValid) values[name] = reading.value;
      else quality[name] = 'invalid';
    }
    return { values, quality };
  };
}
