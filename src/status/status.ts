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
 * What `merestone status`, `GET /api/status` and the metrics show. Plain data; it crosses threads and sockets. Ages
 * (`forMs`, `silentMs`, …) are of the monotonic clock: a step of the wall clock changes none of them.
 *
 * Each schema is the type, what is believed of a silo that says it (texts are bounded and cleaned, numbers are none
 * below 0), and what stands where a daemon of another version says nothing: nothing that speaks against it.
 */

/** No status names more points of one device than this. */
export const pointsListedMax = 20;
/** Quotas and warnings of one silo. */
const fewMax = 32;

/** The device's points as each was read last. */
const pointsStatus = object({
  /** Those that were read, or tried, so far. */
  total: number,
  /** Those with a value, whatever is said against it. */
  valued: number,
  /** Those with a value and nothing said against it. */
  good: number,
  /** The others, by quality. */
  byQuality: counts,
  /** The first of the others, at most `pointsListedMax`. */
  failing: list(object({ name: string, quality: string })),
});
export type PointsStatus = Read<typeof pointsStatus>;

/** Whether the device says that it is what its profile is for. */
const identityCheckStatus = object({
  state: oneOf(['unchecked', 'confirmed', 'contradicted', 'off']),
  /** What it says instead; null where it was not contradicted. */
  reason: orNull(string),
});
export type IdentityCheckStatus = Read<typeof identityCheckStatus>;

const deviceStatus = object({
  name: string,
  silo: string,
  /** `measuring`: as `starting`, while it takes the time for its first measurement that it announced. */
  state: oneOf(['starting', 'measuring', 'good', 'partial', 'failing', 'offline']),
  /** The last failure in words, null where the last poll was good. */
  reason: orNull(string),
  /** The shortest interval of its points. */
  everyMs: number,
  /** Given to its silo with a value in them. Those that only say why there is none are not counted. */
  samples: number,
  requests: number,
  /** Failures by kind: timeout, exception, crc, … */
  failures: counts,
  /** When it last gave a value, ms since 1970 UTC; null where it never did. */
  lastSampleAt: orNull(number),
  /** How long ago that was; where it never was, how long the device has been looked after. */
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
  /** What they may take; null where nothing limits it. */
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
  /** Why it is not open; null where it is. */
  reason: orNull(string),
  /** For how long it has been in this state. */
  forMs: number,
  /** Share of time the line was busy over the last minute; above 1: what all that is due would have taken. */
  load: number,
  devices: list(deviceStatus),
  /** What each silo with devices here has of the bus. */
  silos: list(busSiloStatus),
});
export type BusStatus = Read<typeof busStatus>;

const identityStatus = object({
  fingerprintSha256: text(64),
  notBefore: instant,
  /** When it ends, or a CA above it does before. */
  notAfter: instant,
  /** That CA, and its file; null where it is the certificate itself that ends first. */
  endsBy: orNull(text()),
  warnings: list(text(), fewMax),
});
export type IdentityStatus = Read<typeof identityStatus>;

const batchesStatus = object({
  lingerMs: number,
  /** For how long the broker has accepted none although there were some to accept; null where that is not so. */
  unacceptedMs: orNull(number),
});

const isolation = oneOf(['thread', 'process']);
export type Isolation = Read<typeof isolation>;

export const siloUsage = object({
  /** Share of one core over the last 10 s, 0 to 1 and a little more. */
  cpuShare: number,
  /** JavaScript heap and what hangs on it, buffers included. */
  memoryBytes: number,
  memoryBytesMax: number,
});
export type SiloUsage = Read<typeof siloUsage>;

/** `bus-share` is limited by bus; its use is that of the bus where it is greatest. */
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
  /** `reached`: the silo is held to it now. */
  state: oneOf(['clear', 'reached']),
});
export type QuotaStatus = Read<typeof quotaStatus>;

const uplinkStatus = object({
  /** `held`: none is tried, since the certificate has ended. */
  state: oneOf(['closed', 'connecting', 'proving', 'online', 'waiting', 'held']),
  /** Why it is not online, or what the broker refuses; null where all is well. */
  reason: orNull(text()),
  broker: text(),
  protocol: oneOf(['5', '3.1.1']),
  /** Since when in this state, ms since 1970 UTC. */
  since: instant,
  /** For how long it has been in this state. */
  forMs: number,
  /** For how long there has been no session, however often one was tried; null while there is one. */
  offlineMs: orNull(number),
  /** What the broker said of the last batch that it answered; null before the first. */
  lastAnswer: orNull(oneOf(['accepted', 'refused', 'no-subscribers', 'too-large'])),
  connects: number,
  batches: object({ published: number, accepted: number, refused: number, noSubscribers: number }),
  inflight: number,
  /** Smoothed time from PUBLISH to PUBACK; null before the first. */
  roundTripMs: orNull(number),
  /** How large a whole MQTT packet may be, as the broker has said or shown it; null where no limit is known. */
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
  /** `failing`: it takes nothing of what the silo has to store, or only at the price of what waits. */
  state: oneOf(['good', 'failing']),
  /** The latter: other programs have filled it. */
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
  /** What of them is in use: at `bytesMax` the spool gives up data. */
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
  /** Where the key is that opens it; absent where a silo does not say. */
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
  /** Of its isolate, as measured from outside; null where none runs. */
  usage: orNull(siloUsage),
  /** Every quota that is set, and spool bytes, which always are. */
  quotas: list(quotaStatus, fewMax),
});
export type SiloStatus = Read<typeof siloStatus>;

const gatewayStatus = object({
  version: string,
  startedAt: number,
  uptimeMs: number,
  /** When this was told by the gateway's wall clock, ms since 1970 UTC. */
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

/** What a daemon of another version does not say is taken as nothing said against it. */
export function withDefaults(told: GatewayStatus): GatewayStatus {
  const { startedAt, uptimeMs } = told;
  return gatewayStatus({ ...told, at: told.at ?? startedAt + uptimeMs });
}
