import type { BatchKey } from '../../messages/telemetry.ts';
import type { MetaDocument } from '../../messages/retained.ts';
import type { PublishRequest } from '../uplink.ts';

/** A stored batch on its way out. */
export interface OutgoingBatch {
  key: BatchKey;
  /** JSON, as it was hashed into the chain. */
  payload: Uint8Array;
  /** The zstd of it, as the spool has it. */
  compressed: Uint8Array;
  /** False: no disk has it. */
  durable?: boolean;
}

/** A session, and the epoch whose batches it brings. `since` is ms since 1970 UTC. */
export interface SessionFacts {
  since: number;
  epoch: string;
}

/** What a silo's devices are: `at` is ms since 1970 UTC. */
export type DescribedDevices = Pick<MetaDocument, 'at' | 'configSha256' | 'devices'>;

/**
 * How what a silo sends becomes MQTT messages. Pure, and the same each time: a batch may be sent more than once.
 * The rest of the uplink, and the forwarders, know messages and what became of them, not their encoding.
 */
export interface Encoder {
  /** Messages that one batch becomes at most. */
  readonly messagesPerBatchMax: number;
  /** Says that the gateway is gone: registered with the broker for a lost session, published at an orderly end. */
  will(session: SessionFacts): PublishRequest;
  /** The first message of a session. */
  birth(session: SessionFacts): PublishRequest;
  /** What the values mean; once a session, and when it changes. */
  meta(described: DescribedDevices): PublishRequest;
  /** At least one message; the batch is settled when all of them are. */
  telemetry(batch: OutgoingBatch): readonly [PublishRequest, ...PublishRequest[]];
  /** `payload`: JSON with its proof. */
  event(payload: Uint8Array): PublishRequest;
  /** A signed head of the chain. */
  checkpoint(jws: string, retain: boolean): PublishRequest;
  /** Of the whole MQTT packet that a request becomes. */
  packetBytes(request: PublishRequest): number;
  /** Bytes of a telemetry packet that are not samples. */
  overheadBytes(epoch: string): number;
}
