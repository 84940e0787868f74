import type { LogFields, LogLevel } from '../base/logger.ts';
import type { LossReason } from '../reading/loss.ts';
import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';
import type { QuotaName, SiloStatus, SiloUsage } from '../status/status.ts';
import type { AuditDetails } from '../audit/audit-entry.ts';
import type { SiloOptions } from './options.ts';

/*
 * The messages between the gateway's main thread and a silo: the only way into and out of a silo. `host/` is the
 * gateway's side (supervisor, limits, sample queue), `tenant/` runs inside the isolate, and `process/` serves a silo
 * that is a process of its own. Called by `gateway` (through `host/supervisor.ts`) and `cli/silo.ts`.
 *
 * - Inwards go samples of the silo's own devices and requests about itself. Outwards go credit, answers, status and
 *   log lines; never a sample, a key or another silo's name.
 * - The gateway side imports no code of `tenant/`, and trusts no message: `host/message-admission.ts` checks each.
 * - A silo has unsettled readings only within its credit, so memory is bounded on both sides.
 */

/** The start message: all that a silo is given when it starts. */
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

/** Messages from the gateway to a silo. */
export type ToSilo =
  | { type: 'start'; startMessage: StartMessage }
  | ({ type: 'devices' } & SiloDevices)
  | { type: 'samples'; samples: Sample[] }
  /** Samples that the gateway had to drop on this silo's behalf. */
  | { type: 'lost'; reason: LossReason; samples: number; from: number; to: number }
  | ({ type: 'request'; id: number } & SiloRequest)
  /** The isolate's CPU and memory, measured from outside; once a second. */
  | { type: 'usage'; usage: SiloUsage }
  /** A quota that the gateway keeps on this silo's behalf was reached or is clear again. */
  | { type: 'quota'; quota: QuotaName; limit: number; state: 'reached' | 'cleared' }
  /** An act on the gateway that this silo notes in its audit log. */
  | { type: 'record'; act: AuditAct }
  /** Store all samples, disconnect from the broker, close the spool. */
  | { type: 'stop' };

export type FromSilo =
  /** This number of readings is stored or dropped for good: the gateway may send as many more. */
  | { type: 'credit'; readings: number }
  | { type: 'status'; status: SiloStatus }
  /** `batches`: how many a `retry` has requeued. `fault`: why the request failed. */
  | { type: 'reply'; id: number; batches: number; fault: string | null }
  | { type: 'log'; level: LogLevel; event: string; fields: LogFields }
  | { type: 'stopped' };

/** `reload`: check the certificate files again. `retry`: requeue quarantined batches; `by` is the user who asked. */
export type SiloRequest = { method: 'reload' } | { method: 'retry'; by: string };

type ActKind = 'configuration' | 'device-identity' | 'refused-request';

/** Entries for a silo's audit log that come from outside: acts of people, and identities that its devices report. */
export type AuditAct = { [Kind in ActKind]: { kind: Kind; details: AuditDetails[Kind] } }[ActKind];

/** The silo's end of the connection to the gateway: a MessagePort, or a socket between two processes. */
export interface SiloChannel {
  post(message: FromSilo): void;
  onMessage(listener: (message: ToSilo) => void): void;
  close(): void;
}
