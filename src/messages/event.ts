import type { Origin } from './topic.ts';

/** A run of batches that will not come, with what it takes to walk the chain over the hole. */
export interface LostRun {
  epoch: string;
  seqFrom: number;
  seqTo: number;
  batches: number;
  samples: number;
  /** Times of the first and last sample lost, ms since 1970 UTC; null where they cannot be known. */
  from: number | null;
  to: number | null;
  /** Chain values (hex) before `seqFrom` and after `seqTo`; null where they cannot be known. */
  chainBefore: string | null;
  chainAfter: string | null;
}

/** What an `event` says. `kind` is the discriminator; a consumer ignores kinds that it does not know. */
export type EventBody =
  /** Batches given up by policy (`drop-oldest`, quota). */
  | ({ kind: 'dropped'; reason: string } & LostRun)
  /** Batches that the broker refused again and again, or whose bytes were found damaged. */
  | ({ kind: 'quarantined'; reason: string } & LostRun)
  /**
   * Samples that never became a batch: spool full under `drop-newest`, a quota, a silo that could not keep up.
   * `from` and `to` are null where their times cannot be known; `samples` is 0 where not even their number can.
   */
  | { kind: 'samples-dropped'; reason: string; samples: number; from: number | null; to: number | null }
  /** A new spool file began; `previous` is the last head of the one before, where that is known. */
  | {
      kind: 'epoch-started';
      epoch: string;
      reason: string;
      previous: { epoch: string; seq: number; chain: string } | null;
    }
  | {
      kind: 'identity-changed';
      fingerprintSha256: string;
      previousFingerprintSha256: string | null;
      notAfter: number;
    }
  /**
   * No disk takes what the silo has to store, or one does again. Meanwhile batches come in the epoch named here, with
   * `durable: false`. `forMs`: how long it lasted.
   */
  | { kind: 'storage-failed'; state: 'began' | 'ended'; reason: string; epoch: string; forMs: number }
  | { kind: 'quota'; quota: string; limit: number; state: 'reached' | 'cleared' }
  /** An entry of the silo's audit log, so that the evidence is off the box. */
  | { kind: 'audit'; entry: Record<string, unknown> };

export type StreamEvent = Origin & {
  v: 1;
  /** ULID; an event may arrive twice, and this tells. */
  id: string;
  /** When it was noted, ms since 1970 UTC. */
  at: number;
  /**
   * A compact JWS like the checkpoint's over EventProof. Without it an event explains a gap, but its
   * chain values prove nothing: every client that can write to the topic could have invented them.
   */
  proof?: string;
} & EventBody;

/** The claims of an event's `proof`: the event itself without it, and when it was signed (ms since 1970 UTC). */
export type EventProof = StreamEvent & { signedAt: number };
