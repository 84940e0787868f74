import type { DeviceDescription } from '../reading/point.ts';
import type { Origin } from './topic.ts';

/** Retained on `status`; the session's will is the same document with `online: false`. */
export interface StatusDocument extends Origin {
  v: 1;
  online: boolean;
  /** When this session began, ms since 1970 UTC. */
  since: number;
  version: string;
  epoch: string;
}

/** Retained on `meta`: what the values mean. */
export interface MetaDocument extends Origin {
  v: 1;
  at: number;
  version: string;
  /** SHA-256 (hex) of this silo's part of the configuration: its devices, points and limits. */
  configSha256: string;
  devices: DeviceDescription[];
}
