import type { BusOptions, DeviceOptions } from '../fieldbus/options.ts';
import type { SiloOptions } from '../silo/options.ts';

/** The whole configuration, interpreted: paths absolute, times in ms, sizes in bytes, profiles expanded. */
export interface GatewayOptions {
  /** The file that it came from, absolute. */
  file: string;
  stateDir: string;
  control: { socket: string };
  /** A TCP port, or the path of a Unix socket. */
  http?: { host: string; port: number } | { socket: string };
  silos: readonly SiloOptions[];
  buses: readonly BusOptions[];
  devices: readonly DeviceOptions[];
}

/** One thing wrong in a configuration, with its place in the file. */
export interface ConfigFault {
  file: string;
  /** From 1. */
  line: number;
  column: number;
  message: string;
  hint: string;
}
