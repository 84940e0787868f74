import type { IdentityOptions } from '../identity/options.ts';
import type { SpoolOptions } from '../spool/options.ts';
import type { UplinkOptions } from '../uplink/options.ts';

export interface BatchOptions {
  /** Maximum time that a sample waits for its batch to close; also bounds the loss on a power cut. */
  lingerMs: number;
  samplesMax: number;
  /** JSON bytes at which a batch is closed early, so that it passes the broker's message limit. */
  bytesMax: number;
}

/** When the head of a chain is signed; see docs/decisions/0099-checkpoints-in-proportion.md. */
export interface CheckpointOptions {
  /** At the latest this long after the last signature. */
  everyMs: number;
  /** Sooner, while the bytes of checkpoints are within this share of the batches' bytes. */
  shareMax: number;
}

export interface QuotaOptions {
  samplesPerSecond?: number;
  uplinkBytesPerDay?: number;
  /** Share of each bus's time, 0 to 1; the gateway keeps it. */
  busShare?: number;
  /** Share of one core, 0 to 1. */
  cpuShare?: number;
}

/** `socket`: where the silo's own process listens; absent: the gateway starts that process itself. */
export type IsolationOptions = { kind: 'thread' } | { kind: 'process'; socket?: string };

/** The configuration of one silo. It names no bus, no other silo and no tenant. */
export interface SiloOptions {
  /** Local label; never sent anywhere. */
  name: string;
  identity: IdentityOptions;
  uplink: UplinkOptions;
  checkpoint: CheckpointOptions;
  batch: BatchOptions;
  spool: SpoolOptions;
  /** Folder of the key-encryption keys that are in no credential: a file per tenant and gateway. Absolute. */
  keyDirectory: string;
  quota: QuotaOptions;
  /** Memory limit of its isolate. */
  memoryMbMax: number;
  isolation: IsolationOptions;
}
