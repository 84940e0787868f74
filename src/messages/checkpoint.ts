import type { Origin } from './topic.ts';

/** The signed head of a silo's hash chain: the claims of the compact JWS on `checkpoint`. */
export interface CheckpointClaims extends Origin {
  v: 1;
  epoch: string;
  /** The head: batches 1 to `seq` of the epoch are under this signature. */
  seq: number;
  /** chain(seq), 64 hex digits. */
  chain: string;
  /** Samples in batches 1 to `seq`. */
  samples: number;
  /** Times of the first and the last sample in them, ms since 1970 UTC; null in an empty epoch. */
  from: number | null;
  to: number | null;
  /** When it was signed, ms since 1970 UTC. */
  at: number;
  /** The epoch of batches that no disk had (telemetry.ts); the one before it goes on. */
  durable?: false;
  /** In an epoch's first checkpoint: the last head of the epoch before, where there was one. */
  previous?: { epoch: string; seq: number; chain: string };
}
