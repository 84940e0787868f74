import type { LogFields, LogLevel } from '../../base/logger.ts';
import { entries, isRecord, number, object, oneOf, orNull, text } from '../../base/reader.ts';
import { siloStatus } from '../../status/status.ts';
import type { FromSilo } from '../protocol.ts';

/** Fields that only the gateway itself writes into a log line. */
const gatewayFields = new Set(['time', 'level', 'event', 'silo', 'bus']);
const reply = object({ id: number, batches: number, fault: orNull(text()) });
const level = oneOf<LogLevel>(['debug', 'info', 'warn', 'error']);
const event = text(200);
const fieldText = text();
/** More readings than a silo can have unsettled at once. */
const creditMax = 10_000_000;

/**
 * Rebuilds a silo's message from known fields of known types and bounded length, so that a faulty or compromised
 * isolate can neither name itself as another silo nor fill the gateway's memory and log. Returns the reason as a
 * string if the message is not admitted.
 */
export function admit(message: unknown): FromSilo | string {
  if (!isRecord(message)) return 'it sent a message that is no object';
  switch (message['type']) {
    case 'credit': {
      const readings = message['readings'];
      const sound = Number.isSafeInteger(readings) && (readings as number) >= 0;
      return sound && (readings as number) <= creditMax
        ? { type: 'credit', readings: readings as number }
        : 'invalid credit: expected a count of 1 or more';
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

/** The gateway pins a silo's tenant, so an impossible id must not be admitted. */
function admitStatus(status: unknown): FromSilo | string {
  if (!isRecord(status)) return 'its status is no object';
  if (!mayBeId(status['tenant']) || !mayBeId(status['gateway']))
    return 'it named an impossible tenant or gateway';
  // The gateway sets these itself.
  const own = { dropping: [], restarts: 0, isolation: 'thread', usage: null } as const;
  return { type: 'status', status: siloStatus({ ...status, ...own }) };
}

/** A tenant's or gateway's id is one segment of a topic; null before one is proved. */
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
