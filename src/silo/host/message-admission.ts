import type { LogFields, LogLevel } from '../../base/logger.ts';
import { entries, isRecord, number, object, oneOf, orNull, text } from '../../base/reader.ts';
import { siloStatus } from '../../status/status.ts';
import type { FromSilo } from '../protocol.ts';

/** What the gateway itself writes into a line of its log. */
const gatewayFields = new Set(['time', 'level', 'event', 'silo', 'bus']);
const reply = object({ id: number, batches: number, fault: orNull(text()) });
const level = oneOf<LogLevel>(['debug', 'info', 'warn', 'error']);
const event = text(200);
const fieldText = text();
/** More than a silo could ever have in its hands at once. */
const creditMax = 10_000_000;

/**
 * What a silo may say through its door, rebuilt from what it said: nothing but known fields of known types and
 * bounded length comes out, so that an isolate that has lost its mind, or is in somebody's hands, can neither
 * name itself as another nor fill the gateway's memory and log. A string says why it was not admitted.
 */
export function admit(message: unknown): FromSilo | string {
  if (!isRecord(message)) return 'it said something that is no message';
  switch (message['type']) {
    case 'credit': {
      const readings = message['readings'];
      const sound = Number.isSafeInteger(readings) && (readings as number) >= 0;
      return sound && (readings as number) <= creditMax
        ? { type: 'credit', readings: readings as number }
        : 'it asked for a credit that is none';
    }
    case 'status':
      return admitStatus(message['status']);
    case 'reply':
      return { type: 'reply', ...reply(message) };
    case 'log':
      return {
        type: 'log',
        level: level(message['level']),
        event: event(message['event']),
        fields: fieldsOf(message['fields']),
      };
    case 'stopped':
      return { type: 'stopped' };
    default:
      return 'it said something that no silo says';
  }
}

/** Whose a silo is, is pinned: an id that could be none must not be. */
function admitStatus(status: unknown): FromSilo | string {
  if (!isRecord(status)) return 'its status is none';
  if (!mayBeId(status['tenant']) || !mayBeId(status['gateway'])) return 'it named a tenant that can be none';
  // The gateway knows these by itself.
  const own = { dropping: [], restarts: 0, isolation: 'thread', usage: null } as const;
  return { type: 'status', status: siloStatus({ ...status, ...own }) };
}

/** A tenant's or gateway's id is one segment of a topic; null where none is proved. */
function mayBeId(value: unknown): value is string | null | undefined {
  if (value === null || value === undefined) return true;
  return typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value);
}

function fieldsOf(from: unknown): LogFields {
  const own = entries(from).filter(([name]) => !gatewayFields.has(name));
  const plain = own.map(([name, value]) => {
    const kept = Number.isFinite(value) || typeof value === 'boolean' || value === null;
    return [name, kept ? (value as LogFields[string]) : fieldText(value)] as const;
  });
  return Object.fromEntries(plain);
}
