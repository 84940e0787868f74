import { spoolKeyPlaces } from '../../base/key-place.ts';
import type { LogFields, LogLevel } from '../../base/logger.ts';
import type {
  BatchesStatus,
  DiskStatus,
  QuotaStatus,
  SiloStatus,
  SpoolStatus,
  UplinkStatus,
} from '../../status/status.ts';
import type { FromSilo } from '../protocol.ts';
import {
  entries,
  instant,
  isRecord,
  list,
  number,
  oneOf,
  orNull,
  record,
  text,
  type UnknownRecord,
} from './admitted-values.ts';

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
      return admitStatus(message['status']);
    case 'reply':
      return replyOf(message);
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

function replyOf(message: UnknownRecord): FromSilo {
  const { id, batches, fault } = message;
  return { type: 'reply', id: number(id), batches: number(batches), fault: orNull(fault, text) };
}

/** Whose a silo is, is pinned: an id that could be none must not be. */
function admitStatus(status: unknown): FromSilo | string {
  if (!isRecord(status)) return 'its status is none';
  if (!mayBeId(status['tenant']) || !mayBeId(status['gateway'])) return 'it named a tenant that can be none';
  return { type: 'status', status: statusOf(status) };
}

/** A tenant's or gateway's id is one segment of a topic; null where none is proved. */
function mayBeId(value: unknown): value is string | null | undefined {
  if (value === null || value === undefined) return true;
  return typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value);
}

function statusOf(from: UnknownRecord): SiloStatus {
  const { identity, uplink, spool, batches, samples, quotas } = from;
  const counts = record(samples);
  return {
    name: text(from['name']),
    state: oneOf(from['state'], ['starting', 'running', 'refused', 'restarting', 'quarantined', 'stopped']),
    reason: orNull(from['reason'], text),
    forMs: number(from['forMs']),
    tenant: orNull(from['tenant'], text),
    gateway: orNull(from['gateway'], text),
    identity: orNull(identity, (each) => identityOf(record(each))),
    uplink: orNull(uplink, (each) => uplinkOf(record(each))),
    spool: orNull(spool, (each) => spoolOf(record(each))),
    batches: batchesOf(record(batches)),
    clock: oneOf(from['clock'], ['unknown', 'good']),
    samples: {
      received: number(counts['received']),
      stored: number(counts['stored']),
      published: number(counts['published']),
      dropped: Object.fromEntries(entries(counts['dropped']).map(([name, count]) => [name, number(count)])),
    },
    // The gateway knows these three by itself.
    dropping: [],
    restarts: 0,
    isolation: 'thread',
    usage: null,
    quotas: list(quotas).map((each) => quotaOf(record(each))),
  };
}

function identityOf(from: UnknownRecord): NonNullable<SiloStatus['identity']> {
  const { warnings } = from;
  return {
    fingerprintSha256: text(from['fingerprintSha256'], 64),
    notBefore: instant(from['notBefore']),
    notAfter: instant(from['notAfter']),
    endsBy: orNull(from['endsBy'], text),
    warnings: list(warnings).map((each) => text(each)),
  };
}

const lastAnswers = ['accepted', 'refused', 'no-subscribers', 'too-large'] as const;

function uplinkOf(from: UnknownRecord): UplinkStatus {
  const batches = record(from['batches']);
  return {
    state: oneOf(from['state'], ['closed', 'connecting', 'proving', 'online', 'waiting', 'held']),
    reason: orNull(from['reason'], text),
    broker: text(from['broker']),
    protocol: oneOf(from['protocol'], ['5', '3.1.1']),
    since: instant(from['since']),
    forMs: number(from['forMs']),
    offlineMs: orNull(from['offlineMs'], number),
    lastAnswer: orNull(from['lastAnswer'], (each) => oneOf(each, lastAnswers)),
    connects: number(from['connects']),
    batches: {
      published: number(batches['published']),
      accepted: number(batches['accepted']),
      refused: number(batches['refused']),
      noSubscribers: number(batches['noSubscribers']),
    },
    inflight: number(from['inflight']),
    roundTripMs: orNull(from['roundTripMs'], number),
    packetBytesMax: orNull(from['packetBytesMax'], number),
    oversizeBatches: number(from['oversizeBatches']),
    retainAvailable: orNull(from['retainAvailable'], (each) => each === true),
    bytesSent: number(from['bytesSent']),
  };
}

function spoolOf(from: UnknownRecord): SpoolStatus {
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
    rejected: number(from['rejected']),
    dropped: number(from['dropped']),
    events: number(from['events']),
    bytesWritten: number(from['bytesWritten']),
    ...(from['key'] !== undefined && { key: oneOf(from['key'], spoolKeyPlaces) }),
    disk: diskOf(record(from['disk'])),
  };
}

function diskOf(from: UnknownRecord): DiskStatus {
  return {
    state: oneOf(from['state'], ['good', 'failing']),
    ...(from['isShort'] === true && { isShort: true }),
    reason: orNull(from['reason'], text),
    sinceMs: orNull(from['sinceMs'], number),
  };
}

function batchesOf(from: UnknownRecord): BatchesStatus {
  return { lingerMs: number(from['lingerMs']), unacceptedMs: orNull(from['unacceptedMs'], number) };
}

function quotaOf(from: UnknownRecord): QuotaStatus {
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
    const kept = Number.isFinite(value) || typeof value === 'boolean' || value === null;
    return [name, kept ? (value as LogFields[string]) : text(value)] as const;
  });
  return Object.fromEntries(plain);
}
