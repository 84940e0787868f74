import type { Quality } from '../reading/quality.ts';
import type { Value } from '../reading/sample.ts';
import type { Origin } from './topic.ts';

/*
 * What leaves the box as telemetry, as types and pure functions. The files beside this one hold the other messages
 * (event.ts, checkpoint.ts), their topics (topic.ts), their bounds (document-limits.ts) and their strict decoding
 * (decoding.ts).
 *
 * Invariants: nothing here does I/O or keeps state; what a gateway encodes, `decoding.ts` accepts; the bytes of a batch
 * are made once, and these are hashed, stored and published. Gateway and backend both import this room.
 */

/** A sample as it goes out: `ts` is settled, in ms since 1970 UTC. */
export interface PublishedSample {
  device: string;
  ts: number;
  /** Set if the sample was taken before the clock was known good and its true time never became known. */
  clock?: 'estimated';
  values: Readonly<Record<string, Value>>;
  quality?: Readonly<Record<string, Quality>>;
}

/** Which batch of which stream. `(tenant, gateway, epoch, seq)` is the key that drops duplicates. */
export interface BatchKey extends Origin {
  /** ULID of the epoch: a spool file begins a new one when the end of the last is lost. */
  epoch: string;
  /** Counts an epoch's batches from 1 without a hole. */
  seq: number;
}

export interface TelemetryBatch extends BatchKey {
  v: 1;
  /** Set if no disk had it when it was sent: a power cut would have lost it. Its epoch ends with the process. */
  durable?: false;
  samples: PublishedSample[];
}

/**
 * The batch's bytes, made once: these are hashed into the chain, sealed into the spool and published.
 * `samples` are the JSON texts of PublishedSamples, encoded when they came in.
 */
export function encodeBatch(key: BatchKey, samples: readonly string[], durable = true): Buffer {
  const { tenant, gateway, epoch, seq } = key;
  const head = JSON.stringify({ v: 1, tenant, gateway, epoch, seq, ...(!durable && { durable }) });
  return Buffer.from(`${head.slice(0, -1)},"samples":[${samples.join(',')}]}`);
}
