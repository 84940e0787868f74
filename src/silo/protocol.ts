import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';
import type { SiloStatus } from '../reading/status.ts';
import type { LogFields, LogLevel } from '../base/logger.ts';
import type { SiloOptions } from './options.ts';

/**
 * What crosses the wall. Inwards: samples of the silo's own devices and requests about itself.
 * Outwards: credit, answers and log lines; never a sample, a key or another silo's name.
 */
export type ToSilo =
  | {
      type: 'start';
      options: SiloOptions;
      devices: DeviceDescription[];
      version: string;
      configSha256: string;
    }
  | { type: 'samples'; samples: Sample[] }
  /** Samples that the gateway had to drop because this silo did not keep up. */
  | { type: 'overrun'; samples: number; from: number; to: number }
  | { type: 'request'; id: number; method: SiloMethod; params: unknown }
  /** Store what came, leave the broker in good order, close the spool. */
  | { type: 'stop' };

export type FromSilo =
  /** So many samples were taken in: the gateway may send as many more. */
  | { type: 'credit'; samples: number }
  | { type: 'status'; status: SiloStatus }
  | { type: 'reply'; id: number; result?: unknown; error?: { code: string; message: string; hint?: string } }
  | { type: 'log'; level: LogLevel; event: string; fields: LogFields }
  | { type: 'stopped' };

export type SiloMethod = 'audit' | 'reload-identity';

/** One end of the wall's only door, whether it is a MessagePort or a socket between two processes. */
export interface SiloChannel<Out, In> {
  post(message: Out): void;
  onMessage(listener: (message: In) => void): void;
  close(): void;
}
