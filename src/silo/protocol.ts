import type { LogFields, LogLevel } from '../base/logger.ts';
import type { LossReason } from '../reading/loss.ts';
import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';
import type { QuotaName, SiloStatus, SiloUsage } from '../status/status.ts';
import type { AuditDetails } from '../audit/audit-entry.ts';
import type { SiloOptions } from './options.ts';

/** What a silo is born with. */
export interface StartMessage extends SiloDevices {
  options: SiloOptions;
}

/** What may change while a silo runs: neither its session nor its spool depends on it. */
export interface SiloDevices {
  /** Its own devices. */
  devices: DeviceDescription[];
  /** SHA-256 (hex) of its own part of the configuration. */
  configSha256: string;
}

/**
 * What crosses the wall. Inwards: samples of the silo's own devices and requests about itself.
 * Outwards: credit, answers, figures and log lines; never a sample, a key or another silo's name.
 */
export type ToSilo =
  | { type: 'start'; startMessage: StartMessage }
  | ({ type: 'devices' } & SiloDevices)
  | { type: 'samples'; samples: Sample[] }
  /** Samples that the gateway had to drop on this silo's behalf. */
  | { type: 'lost'; reason: LossReason; samples: number; from: number; to: number }
  | ({ type: 'request'; id: number } & SiloRequest)
  /** What the isolate takes, as measured from outside it; once a second. */
  | { type: 'usage'; usage: SiloUsage }
  /** A quota that the gateway keeps on this silo's behalf was reached or is clear again. */
  | { type: 'quota'; quota: QuotaName; limit: number; state: 'reached' | 'cleared' }
  /** What somebody did to the gateway and this silo has to remember. */
  | { type: 'record'; act: AuditAct }
  /** Store what came, take leave of the broker, close the spool. */
  | { type: 'stop' };

export type FromSilo =
  /** So many readings are stored or dropped for good: the gateway may send as many more. */
  | { type: 'credit'; readings: number }
  | { type: 'status'; status: SiloStatus }
  /** `batches`: so many that a `retry` put back in line. `fault`: why it was not done. */
  | { type: 'reply'; id: number; batches: number; fault: string | null }
  | { type: 'log'; level: LogLevel; event: string; fields: LogFields }
  | { type: 'stopped' };

/** `reload`: look at the certificate files again. `retry`: send what is quarantined once more, by this person's will. */
export type SiloRequest = { method: 'reload' } | { method: 'retry'; by: string };

type ActKind = 'configuration' | 'device-identity' | 'refused-request';

/** What reaches a silo from outside, for its audit log: acts of people, and what its devices say that they are. */
export type AuditAct = { [Kind in ActKind]: { kind: Kind; details: AuditDetails[Kind] } }[ActKind];

/** One end of the wall's only door, be it a MessagePort or a socket between two processes. */
export interface SiloChannel {
  post(message: FromSilo): void;
  onMessage(listener: (message: ToSilo) => void): void;
  close(): void;
}
