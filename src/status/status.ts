import type { SpoolKeyPlace } from '../base/key-place.ts';

/**
 * What `merestone status`, `GET /api/status` and the metrics show. Plain data; it crosses threads and sockets. Ages
 * (`forMs`, `silentMs`, …) are of the monotonic clock: a step of the wall clock changes none of them.
 */
export interface GatewayStatus {
  version: string;
  startedAt: number;
  uptimeMs: number;
  /** When this was told by the gateway's wall clock, ms since 1970 UTC. */
  at: number;
  configFile: string;
  buses: BusStatus[];
  silos: SiloStatus[];
}

export interface BusStatus {
  name: string;
  kind: string;
  /** `open`: bytes can flow. `lost`: being looked for or reconnected to, until it is open. */
  state: 'opening' | 'open' | 'lost' | 'closed';
  /** Why it is not open; null where it is. */
  reason: string | null;
  /** For how long it has been in this state. */
  forMs: number;
  /** Share of time the line was busy over the last minute; above 1: what all that is due would have taken. */
  load: number;
  devices: DeviceStatus[];
  /** What each silo with devices here has of the bus. */
  silos: BusSiloStatus[];
}

export interface BusSiloStatus {
  silo: string;
  /** Share of bus time that its devices took over the last minute, 0 to 1. */
  busShare: number;
  /** What they may take; null where nothing limits it. */
  busShareMax: number | null;
  /** True while its devices wait because the share is used up. */
  held: boolean;
}

export interface DeviceStatus {
  name: string;
  silo: string;
  /** `measuring`: as `starting`, while it takes the time for its first measurement that it announced. */
  state: 'starting' | 'measuring' | 'good' | 'partial' | 'failing' | 'offline';
  /** The last failure in words, null where the last poll was good. */
  reason: string | null;
  /** The shortest interval of its points. */
  everyMs: number;
  /** Given to its silo with a value in them. Those that only say why there is none are not counted. */
  samples: number;
  requests: number;
  /** Failures by kind: timeout, exception, crc, … */
  failures: Record<string, number>;
  /** When it last gave a value, ms since 1970 UTC; null where it never did. */
  lastSampleAt: number | null;
  /** How long ago that was; where it never was, how long the device has been looked after. */
  silentMs: number;
  points: PointsStatus;
  identity: IdentityCheckStatus;
  /** Smoothed time from request to answer; null for free-running sensors. */
  answerMs: number | null;
  /** Worst lateness behind its interval over the last minute. */
  latenessMs: number;
  /** Mean of it: above its interval it misses more of its polls than it makes. */
  usualLatenessMs: number;
  /** Share of bus time over the last minute, 0 to 1. */
  busShare: number;
}

/** The device's points as each was read last. */
export interface PointsStatus {
  /** Those that were read, or tried, so far. */
  total: number;
  /** Those with a value, whatever is said against it. */
  valued: number;
  /** Those with a value and nothing said against it. */
  good: number;
  /** The others, by quality. */
  byQuality: Record<string, number>;
  /** The first of the others, at most `pointsListedMax`. */
  failing: { name: string; quality: string }[];
}

/** No status names more points of one device than this. */
export const pointsListedMax = 20;

/** Whether the device says that it is what its profile is for. */
export interface IdentityCheckStatus {
  state: 'unchecked' | 'confirmed' | 'contradicted' | 'off';
  /** What it says instead; null where it was not contradicted. */
  reason: string | null;
}

export interface IdentityStatus {
  fingerprintSha256: string;
  notBefore: number;
  /** When it ends, or a CA above it does before. */
  notAfter: number;
  /** That CA, and its file; null where it is the certificate itself that ends first. */
  endsBy: string | null;
  warnings: string[];
}

export interface SiloStatus {
  name: string;
  /** `refused`: no valid identity; nothing is stored or sent. `quarantined`: crashed too often. */
  state: 'starting' | 'running' | 'refused' | 'restarting' | 'quarantined' | 'stopped';
  reason: string | null;
  /** For how long it has been in this state. */
  forMs: number;
  tenant: string | null;
  gateway: string | null;
  identity: IdentityStatus | null;
  uplink: UplinkStatus | null;
  spool: SpoolStatus | null;
  batches: BatchesStatus;
  /** Whether sample times can be trusted now. */
  clock: 'good' | 'unknown';
  samples: { received: number; stored: number; published: number; dropped: Record<string, number> };
  /** Reasons for which samples were dropped within the last minute. */
  dropping: string[];
  restarts: number;
  /** Which wall is around it: an isolate of the gateway's process, or a process of its own. */
  isolation: Isolation;
  /** Of its isolate, as measured from outside; null where none runs. */
  usage: SiloUsage | null;
  /** Every quota that is set, and spool bytes, which always are. */
  quotas: QuotaStatus[];
}

export interface BatchesStatus {
  lingerMs: number;
  /** For how long the broker has accepted none although there were some to accept; null where that is not so. */
  unacceptedMs: number | null;
}

export type Isolation = 'thread' | 'process';

export interface SiloUsage {
  /** Share of one core over the last 10 s, 0 to 1 and a little more. */
  cpuShare: number;
  /** JavaScript heap and what hangs on it, buffers included. */
  memoryBytes: number;
  memoryBytesMax: number;
}

/** `bus-share` is limited by bus; its use is that of the bus where it is greatest. */
export type QuotaName =
  | 'samples-per-second'
  | 'uplink-bytes-per-day'
  | 'spool-bytes'
  | 'bus-share'
  | 'cpu-share';

export interface QuotaStatus {
  quota: QuotaName;
  limit: number;
  used: number;
  /** `reached`: the silo is held to it now. */
  state: 'clear' | 'reached';
}

export interface UplinkStatus {
  /** `held`: none is tried, since the certificate has ended. */
  state: 'connecting' | 'proving' | 'online' | 'waiting' | 'held' | 'closed';
  /** Why it is not online, or what the broker refuses; null where all is well. */
  reason: string | null;
  broker: string;
  protocol: '5' | '3.1.1';
  /** Since when in this state, ms since 1970 UTC. */
  since: number;
  /** For how long it has been in this state. */
  forMs: number;
  /** For how long there has been no session, however often one was tried; null while there is one. */
  offlineMs: number | null;
  /** What the broker said of the last batch that it answered; null before the first. */
  lastAnswer: 'accepted' | 'refused' | 'no-subscribers' | 'too-large' | null;
  connects: number;
  batches: { published: number; accepted: number; refused: number; noSubscribers: number };
  inflight: number;
  /** Smoothed time from PUBLISH to PUBACK; null before the first. */
  roundTripMs: number | null;
  /** How large a whole MQTT packet may be, as the broker has said or shown it; null where no limit is known. */
  packetBytesMax: number | null;
  /** Batches that wait because they are larger than that. */
  oversizeBatches: number;
  /** Whether the broker keeps retained messages, as its CONNACK said; null before the first, and on MQTT 3.1.1. */
  retainAvailable: boolean | null;
  /** MQTT's own, of all sessions since the silo started: publishes, pings and the rest. TLS adds to them. */
  bytesSent: number;
}

export interface SpoolStatus {
  epoch: string;
  /** The last batch stored. */
  seq: number;
  batches: number;
  samples: number;
  /** Of the file and its WAL, which do not shrink. */
  bytes: number;
  /** What of them is in use: at `bytesMax` the spool gives up data. */
  bytesInUse: number;
  bytesMax: number;
  /** Of the oldest batch waiting; null where none waits. */
  oldestAgeMs: number | null;
  /** Since the spool began. */
  quarantined: number;
  /** Batches that the broker refused for good, and that are still here. */
  rejected: number;
  dropped: number;
  /** Events waiting to be delivered. */
  events: number;
  bytesWritten: number;
  /** Where the key is that opens it; absent where a silo does not say. */
  key?: SpoolKeyPlace;
  disk: DiskStatus;
}

export interface DiskStatus {
  /** `failing`: it takes nothing of what the silo has to store, or only at the price of what waits. */
  state: 'good' | 'failing';
  /** The latter: other programs have filled it. */
  isShort?: true;
  /** Why; null while it is good. */
  reason: string | null;
  /** For how long it has been failing; null while it is good. */
  sinceMs: number | null;
}
