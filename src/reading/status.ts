/** What `merestone status`, `GET /api/status` and the metrics show. Plain data; it crosses threads and sockets. */
export interface GatewayStatus {
  version: string;
  startedAt: number;
  uptimeMs: number;
  configFile: string;
  buses: BusStatus[];
  silos: SiloStatus[];
}

export interface BusStatus {
  name: string;
  kind: string;
  /** `open`: bytes can flow. `lost`: being looked for or reconnected to. */
  state: 'opening' | 'open' | 'lost' | 'closed';
  /** Why it is not open; null where it is. */
  reason: string | null;
  /** Share of time the line was busy over the last minute, 0 to 1. */
  load: number;
  devices: DeviceStatus[];
}

export interface DeviceStatus {
  name: string;
  silo: string;
  state: 'starting' | 'good' | 'partial' | 'failing' | 'offline';
  /** The last failure in words, null where the last poll was good. */
  reason: string | null;
  samples: number;
  requests: number;
  /** Failures by kind: timeout, exception, crc, … */
  failures: Record<string, number>;
  lastSampleAt: number | null;
  /** Smoothed time from request to answer; null for free-running sensors. */
  answerMs: number | null;
  /** Worst lateness behind its interval over the last minute. */
  latenessMs: number;
  /** Share of bus time over the last minute, 0 to 1. */
  busShare: number;
}

export interface SiloStatus {
  name: string;
  /** `refused`: no valid identity; nothing is stored or sent. `quarantined`: crashed too often. */
  state: 'starting' | 'running' | 'refused' | 'restarting' | 'quarantined' | 'stopped';
  reason: string | null;
  tenant: string | null;
  gateway: string | null;
  identity: { fingerprintSha256: string; notBefore: number; notAfter: number; warnings: string[] } | null;
  uplink: UplinkStatus | null;
  spool: SpoolStatus | null;
  /** Whether sample times can be trusted now. */
  clock: 'good' | 'unknown';
  samples: { received: number; stored: number; published: number; dropped: Record<string, number> };
  restarts: number;
}

export interface UplinkStatus {
  state: 'connecting' | 'proving' | 'online' | 'waiting' | 'closed';
  /** Why it is not online, or what the broker refuses; null where all is well. */
  reason: string | null;
  broker: string;
  protocol: '5' | '3.1.1';
  /** Since when in this state, ms since 1970 UTC. */
  since: number;
  connects: number;
  batches: { published: number; accepted: number; refused: number; noSubscribers: number };
  inflight: number;
  /** Smoothed time from PUBLISH to PUBACK; null before the first. */
  roundTripMs: number | null;
  bytesSent: number;
}

export interface SpoolStatus {
  epoch: string;
  /** The last batch stored. */
  seq: number;
  batches: number;
  samples: number;
  /** Of the file and its WAL. */
  bytes: number;
  bytesMax: number;
  /** Of the oldest batch waiting; null where none waits. */
  oldestAgeMs: number | null;
  quarantined: number;
  dropped: number;
  /** Events waiting to be delivered. */
  events: number;
  bytesWritten: number;
}
