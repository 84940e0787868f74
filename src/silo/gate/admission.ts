import type { LogFields, LogLevel } from '../../base/logger.ts';
import type { QuotaStatus, SiloStatus, SpoolStatus, UplinkStatus } from '../../reading/status.ts';
import type { FromSilo } from '../protocol.ts';

/** A reason names files and brokers; what is longer came from somebody who wants to fill a log. */
const textMax = 2000;
/** Reasons for drops, fields of a log line, warnings of a certificate: each a handful. */
const entriesMax = 32;
/** What the gateway itself writes into a line of its log. */
const gatewayFields = new Set(['time', 'level', 'event', 'silo', 'bus']);
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
      return isRecord(message['status'])
        ? { type: 'status', status: statusOf(message['status']) }
        : 'its status is none';
    case 'reply':
      return { type: 'reply', id: number(message['id']), result: null };
    case 'log':
      return {
        type: 'log',
        level: oneOf<LogLevel>(message['level'], ['debug', 'info', 'warn', 'error']),
        event: text(message['event'], 200),
        fields: fieldsOf(message['fields']),
      };
    case 'stopped':
      return { type: 'stopped' };
    default:
      return 'it said something that no silo says';
  }
}

function statusOf(from: Record<string, unknown>): SiloStatus {
  const { identity, uplink, spool, samples, quotas } = from;
  const counts = record(samples);
  return {
    name: text(from['name']),
    state: oneOf(from['state'], ['starting', 'running', 'refused', 'restarting', 'quarantined', 'stopped']),
    reason: orNull(from['reason'], text),
    tenant: orNull(from['tenant'], segment),
    gateway: orNull(from['gateway'], segment),
    identity: orNull(identity, (each) => identityOf(record(each))),
    uplink: orNull(uplink, (each) => uplinkOf(record(each))),
    spool: orNull(spool, (each) => spoolOf(record(each))),
    clock: oneOf(from['clock'], ['unknown', 'good']),
    samples: {
      received: number(counts['received']),
      stored: number(counts['stored']),
      published: number(counts['published']),
      dropped: Object.fromEntries(entries(counts['dropped']).map(([name, count]) => [name, number(count)])),
    },
    restarts: 0,
    isolation: 'thread',
    usage: null,
    quotas: (Array.isArray(quotas) ? quotas : []).slice(0, entriesMax).map((each) => quotaOf(record(each))),
  };
}

function identityOf(from: Record<string, unknown>): NonNullable<SiloStatus['identity']> {
  const { warnings } = from;
  return {
    fingerprintSha256: text(from['fingerprintSha256'], 64),
    notBefore: number(from['notBefore']),
    notAfter: number(from['notAfter']),
    warnings: (Array.isArray(warnings) ? warnings : []).slice(0, entriesMax).map((each) => text(each)),
  };
}

function uplinkOf(from: Record<string, unknown>): UplinkStatus {
  const batches = record(from['batches']);
  return {
    state: oneOf(from['state'], ['closed', 'connecting', 'proving', 'online', 'waiting']),
    reason: orNull(from['reason'], text),
    broker: text(from['broker']),
    protocol: oneOf(from['protocol'], ['5', '3.1.1']),
    since: number(from['since']),
    connects: number(from['connects']),
    batches: {
      published: number(batches['published']),
      accepted: number(batches['accepted']),
      refused: number(batches['refused']),
      noSubscribers: number(batches['noSubscribers']),
    },
    inflight: number(from['inflight']),
    roundTripMs: orNull(from['roundTripMs'], number),
    bytesSent: number(from['bytesSent']),
  };
}

function spoolOf(from: Record<string, unknown>): SpoolStatus {
  return {
    epoch: text(from['epoch'], 64),
    seq: number(from['seq']),
    batches: number(from['batches']),
    samples: number(from['samples']),
    bytes: number(from['bytes']),
    bytesInUse: number(from['bytesInUse']),
    bytesMax: number(from['bytesMax']),
    oldestAgeMs: orNull(from['oldestAgeMs'], number),
    quarantined: number(from['quarantined']),
    dropped: number(from['dropped']),
    events: number(from['events']),
    bytesWritten: number(from['bytesWritten']),
  };
}

function quotaOf(from: Record<string, unknown>): QuotaStatus {
  return {
    quota: oneOf(from['quota'], [
      'samples-per-second',
      'uplink-bytes-per-day',
      'spool-bytes',
      'bus-share',
      'cpu-share',
    ]),
    limit: number(from['limit']),
    used: number(from['used']),
    state: oneOf(from['state'], ['clear', 'reached']),
  };
}

function fieldsOf(from: unknown): LogFields {
  const own = entries(from).filter(([name]) => !gatewayFields.has(name));
  const plain = own.map(([name, value]) => {
    const kept = typeof value === 'number' || typeof value === 'boolean' || value === null;
    return [name, kept ? value : text(value)] as const;
  });
  return Object.fromEntries(plain);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

function entries(value: unknown): [string, unknown][] {
  return Object.entries(record(value))
    .slice(0, entriesMax)
    .map(([name, each]) => [name.slice(0, 64), each]);
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function text(value: unknown, charactersMax = textMax): string {
  const whole = typeof value === 'string' ? value : '';
  return whole.length > charactersMax ? `${whole.slice(0, charactersMax)}…` : whole;
}

/** A tenant's or gateway's id: one segment of a topic. */
function segment(value: unknown): string {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value) ? value : '';
}

function orNull<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null || value === undefined ? null : read(value);
}

/** The value, where it is one of them; else the first, which is the least that can be meant. */
function oneOf<T extends string>(value: unknown, names: readonly [T, ...T[]]): T {
  return names.find((name) => name === value) ?? names[0];
}
