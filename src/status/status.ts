import { spoolKeyPlaces } from '../base/key-place.ts';
import {
  boolean,
  counts,
  instant,
  list,
  namedCounts,
  number,
  object,
  oneOf,
  optional,
  orNull,
  type Read,
  string,
  text,
} from '../base/reader.ts';

/*
 * The status that `merestone status`, `GET /api/status`, the page and the metrics show, and that `verdict/` judges.
 * `fieldbus` and `silo` fill their parts, `gateway` puts them together, `admin` and `cli` show them.
 *
 * - Plain data: it crosses threads, processes and sockets as JSON.
 * - Ages (`forMs`, `silentMs`, …) are of the monotonic clock: a step of the wall clock changes none of them.
 * - Each schema is at once the type, the check of what a silo reports (texts are bounded and cleaned, no number is
 *   below 0), and the default for a field that a daemon of another version lacks. A default is never a fault.
 */

/** No status names more points of one device than this. */
export const pointsListedMax = 20;
/** Quotas and warnings of one silo. */
const fewMax = 32;

/** The device's points by the result of their last read. */
const pointsStatus = object({
  /** Points that were read or tried so far. */
  total: number,
  /** Points with a value, of any quality. */
  valued: number,
  /** Points with a value of good quality. */
  good: number,
  /** The others, by quality. */
  byQuality: counts,
  /** The first of the others, at most `pointsListedMax`. */
  failing: list(object({ name: string, quality: string })),
});
export type PointsStatus = Read<typeof pointsStatus>;

/** Whether the device identifies itself as the model that its profile is for. */
const identityCheckStatus = object({
  state: oneOf(['unchecked', 'confirmed', 'contradicted', 'off']),
  /** What the device reports instead; null unless contradicted. */
  reason: orNull(string),
});
export type IdentityCheckStatus = Read<typeof identityCheckStatus>;

const deviceStatus = object({
  name: string,
  silo: string,
  /** `measuring`: as `starting`, while it takes the time for its first measurement that it announced. */
  state: oneOf(['starting', 'measuring', 'good', 'partial', 'failing', 'offline']),
  /** The last failure in words; null if the last poll was good. */
  reason: orNull(string),
  /** The shortest interval of its points. */
  everyMs: number,
  /** Samples given to the silo; samples without any value are not counted. */
  samples: number,
  requests: number,
  /** Failures by kind: timeout, exception, crc, … */
  failures: counts,
  /** When it last gave a value, ms since 1970 UTC; null if never. */
  lastSampleAt: orNull(number),
  /** Time since then; if never, time since polling of the device began. */
  silentMs: number,
  points: pointsStatus,
  identity: identityCheckStatus,
  /** Smoothed time from request to answer; null for free-running sensors. */
  answerMs: orNull(number),
  /** Worst lateness behind its interval over the last minute. */
  latenessMs: number,
  /** Mean of it: above its interval it misses more of its polls than it makes. */
  usualLatenessMs: number,
  /** Share of bus time over the last minute, 0 to 1. */
  busShare: number,
});
export type DeviceStatus = Read<typeof deviceStatus>;

const busSiloStatus = object({
  silo: string,
  /** Share of bus time that its devices took over the last minute, 0 to 1. */
  busShare: number,
  /** The share that they may use; null if unlimited. */
  busShareMax: orNull(number),
  /** True while its devices wait because the share is used up. */
  held: boolean,
});
export type BusSiloStatus = Read<typeof busSiloStatus>;

const busStatus = object({
  name: string,
  kind: string,
  /** `open`: bytes can flow. `lost`: being looked for or reconnected to, until it is open. */
  state: oneOf(['opening', 'open', 'lost', 'closed']),
  /** Why it is not open; null if it is. */
  reason: orNull(string),
  /** For how long it has been in this state. */
  forMs: number,
  /** Share of time the line was busy over the last minute; above 1 if the due polls need more time than there is. */
  load: number,
  devices: list(deviceStatus),
  /** What each silo with devices here has of the bus. */
  silos: list(busSiloStatus),
});
export type BusStatus = Read<typeof busStatus>;

const identityStatus = object({
  fingerprintSha256: text(64),
  notBefore: instant,
  /** When it ends, or the first CA of its chain does, if that is sooner. */
  notAfter: instant,
  /** That CA and its file; null if the certificate itself ends first. */
  endsBy: orNull(text()),
  warnings: list(text(), fewMax),
});
export type IdentityStatus = Read<typeof identityStatus>;

const batchesStatus = object({
  lingerMs: number,
  /** For how long the broker has accepted no batch although some wait; null if none waits or one was just accepted. */
  unacceptedMs: orNull(number),
});

const isolation = oneOf(['thread', 'process']);
export type Isolation = Read<typeof isolation>;

export const siloUsage = object({
  /** Share of one core over the last 10 s, 0 to 1 and a little more. */
  cpuShare: number,
  /** JavaScript heap and the buffers that it refers to. */
  memoryBytes: number,
  memoryBytesMax: number,
});
export type SiloUsage = Read<typeof siloUsage>;

/** `bus-share` is limited per bus; its use is that of the most used bus. */
const quotaName = oneOf([
  'samples-per-second',
  'uplink-bytes-per-day',
  'spool-bytes',
  'bus-share',
  'cpu-share',
]);
export type QuotaName = Read<typeof quotaName>;

const quotaStatus = object({
  quota: quotaName,
  limit: number,
  used: number,
  /** `reached`: the quota limits the silo now. */
  state: oneOf(['clear', 'reached']),
});
export type QuotaStatus = Read<typeof quotaStatus>;

const uplinkStatus = object({
  /** `held`: no session is tried, since the certificate has ended. */
  state: oneOf(['closed', 'connecting', 'proving', 'online', 'waiting', 'held']),
  /** Why it is not online, or what the broker refuses; null if neither. */
  reason: orNull(text()),
  broker: text(),
  protocol: oneOf(['5', '3.1.1']),
  /** Since when in this state, ms since 1970 UTC. */
  since: instant,
  /** For how long it has been in this state. */
  forMs: number,
  /** For how long there has been no session, however often one was tried; null while there is one. */
  offlineMs: orNull(number),
  /** The broker's answer to the last batch; null before the first. */
  lastAnswer: orNull(oneOf(['accepted', 'refused', 'no-subscribers', 'too-large'])),
  connects: number,
  batches: object({ published: number, accepted: number, refused: number, noSubscribers: number }),
  inflight: number,
  /** Smoothed time from PUBLISH to PUBACK; null before the first. */
  roundTripMs: orNull(number),
  /** The broker's limit of a whole MQTT packet, announced or observed; null if unknown. */
  packetBytesMax: orNull(number),
  /** Batches that wait because they are larger than that. */
  oversizeBatches: number,
  /** Whether the broker keeps retained messages, as its CONNACK said; null before the first, and on MQTT 3.1.1. */
  retainAvailable: orNull(boolean),
  /** MQTT's own, of all sessions since the silo started: publishes, pings and the rest. TLS adds to them. */
  bytesSent: number,
});
export type UplinkStatus = Read<typeof uplinkStatus>;

const diskStatus = object({
  /** `failing`: it stores nothing, or only if waiting batches are given up for room. */
  state: oneOf(['good', 'failing']),
  /** True in the second case: other programs have filled it. */
  isShort: optional((value) => (value === true ? (true as const) : undefined)),
  /** Why; null while it is good. */
  reason: orNull(text()),
  /** For how long it has been failing; null while it is good. */
  sinceMs: orNull(number),
});
export type DiskStatus = Read<typeof diskStatus>;

const spoolStatus = object({
  epoch: text(64),
  /** The last batch stored. */
  seq: number,
  batches: number,
  samples: number,
  /** Of the file and its WAL, which do not shrink. */
  bytes: number,
  /** The part of `bytes` in use: at `bytesMax` the spool gives up data. */
  bytesInUse: number,
  bytesMax: number,
  /** Of the oldest batch waiting; null where none waits. */
  oldestAgeMs: orNull(number),
  /** Since the spool began. */
  quarantined: number,
  /** Batches that the broker refused for good, and that are still here. */
  rejected: number,
  dropped: number,
  /** Events waiting to be delivered. */
  events: number,
  bytesWritten: number,
  /** Where the key that opens the spool is kept; absent if the silo does not say. */
  key: optional(oneOf(spoolKeyPlaces)),
  disk: diskStatus,
});
export type SpoolStatus = Read<typeof spoolStatus>;

export const siloStatus = object({
  name: text(),
  /** `refused`: no valid identity; nothing is stored or sent. `quarantined`: crashed too often. */
  state: oneOf(['starting', 'running', 'refused', 'restarting', 'quarantined', 'stopped']),
  reason: orNull(text()),
  /** For how long it has been in this state. */
  forMs: number,
  tenant: orNull(text()),
  gateway: orNull(text()),
  identity: orNull(identityStatus),
  uplink: orNull(uplinkStatus),
  spool: orNull(spoolStatus),
  batches: batchesStatus,
  /** Whether sample times can be trusted now. */
  clock: oneOf(['unknown', 'good']),
  samples: object({ received: number, stored: number, published: number, dropped: namedCounts }),
  /** Reasons for which samples were dropped within the last minute. */
  dropping: list(string, fewMax),
  restarts: number,
  /** An isolate of the gateway's process, or a process of its own. */
  isolation,
  /** Use of its isolate, measured from outside; null if none runs. */
  usage: orNull(siloUsage),
  /** Every quota that is set, and `spool-bytes`, which is always set. */
  quotas: list(quotaStatus, fewMax),
});
export type SiloStatus = Read<typeof siloStatus>;

const gatewayStatus = object({
  version: string,
  startedAt: number,
  uptimeMs: number,
  /** When this status was made, by the gateway's wall clock, ms since 1970 UTC. */
  at: number,
  configFile: string,
  buses: list(busStatus),
  silos: list(siloStatus),
});
export type GatewayStatus = Read<typeof gatewayStatus>;

export const goodDisk: DiskStatus = diskStatus({});

/** A device of which nothing is known yet. */
export function blankDevice(name: string, silo: string, everyMs: number): DeviceStatus {
  return deviceStatus({ name, silo, everyMs });
}

/** A silo that has said nothing yet. */
export function blankSilo(name: string, isolatedBy: Isolation): SiloStatus {
  return siloStatus({ name, isolation: isolatedBy });
}

/** Of a spool that could not be opened yet. */
export function blankSpoolStatus(epoch: string, bytesMax: number): SpoolStatus {
  return spoolStatus({ epoch, bytesMax });
}

/** Fills in the fields that a daemon of another version lacks; no default counts as a fault. */
export function withDefaults(told: GatewayStatus): GatewayStatus {
  const { startedAt, uptimeMs } = told;
  return gatewayStatus({ ...told, at: told.at ?? startedAt + uptimeMs });
}
