import type { Origin, OwnedOrigin } from '../../messages/topic.ts';
import type { DataKey } from '../sealing/keyring.ts';
import { countOf, type Runs } from '../../base/ranges.ts';
import type { BatchRow, LedgerRow } from '../storage/database-schema.ts';
import { type CipherName, seal, unseal } from '../../base/cipher.ts';

/** The end of an epoch's chain. */
export interface Head {
  epoch: string;
  /** 0 in an epoch without a batch. */
  seq: number;
  /** chain(seq), hex. */
  chain: string;
  /** Samples in batches 1 to `seq`. */
  samples: number;
  /** Times of the first and last of them; null if there is none. */
  from: number | null;
  to: number | null;
}

/** What was sent on one UTC day, as the silo counts it. Kept here so that a restart does not begin it again. */
export interface SentCount {
  /** Days since 1970 UTC. */
  day: number;
  bytes: number;
}

/**
 * What the spool holds, as of one commit: one row, in clear and authenticated. It is what makes a file
 * this tenant's, and what a hole in the table is judged by. Positions as in position.ts.
 */
export interface Ledger extends Origin {
  v: 1;
  /** Counts how often it was written: of two, the higher is the later. */
  revision: number;
  /** Every epoch that has a batch here, and the current one last. */
  epochs: readonly { number: number; id: string }[];
  head: Head;
  /** The last head of the epoch before; null in a gateway's first. */
  previous: Pick<Head, 'epoch' | 'seq' | 'chain'> | null;
  /** To be delivered, in flight or not. */
  waiting: Runs;
  samplesWaiting: number;
  /** Refused by the broker for good: sound, kept for `spool export`, first to go when room is needed. */
  rejected: Runs;
  /** Rows that do not authenticate. Never deleted: SQLite would follow links that may be wrong. */
  damaged: Runs;
  /** Numbers of the entries that are events to be delivered, and of those that are undated samples. */
  events: Runs;
  held: Runs;
  /** No entry ever had this number. */
  nextEntry: number;
  /** Batches ever, over all epochs of this file. */
  quarantined: number;
  dropped: number;
  /** The head that the last saved checkpoint signed. */
  checkpointSeq: number;
  /** Absent where nothing was ever counted. */
  sent?: SentCount;
}

export function currentEpochNumber(ledger: Ledger): number {
  return ledger.epochs.at(-1)!.number;
}

/** The next head, one batch on. */
export function advance(head: Head, { chain_after, samples, from_ms, to_ms }: BatchRow): Head {
  return {
    epoch: head.epoch,
    seq: head.seq + 1,
    chain: chain_after.toString('hex'),
    samples: head.samples + samples,
    from: Math.min(head.from ?? from_ms, from_ms),
    to: Math.max(head.to ?? to_ms, to_ms),
  };
}

/** Whether the step is nothing but new batches at the end: those tell it themselves at the next opening. */
export function followsFromBatches(before: Ledger, after: Ledger): boolean {
  const arrived = after.head.seq - before.head.seq;
  if (countOf(after.waiting) - countOf(before.waiting) !== arrived) return false;
  const told = new Set(['head', 'waiting', 'samplesWaiting']);
  return Object.entries(after).every(
    ([name, value]) => told.has(name) || before[name as keyof Ledger] === value,
  );
}

/** The row that keeps `ledger`, authenticated by the key that seals now. */
export function sealLedger(ledger: Ledger, key: DataKey, cipher: CipherName): LedgerRow {
  const body = JSON.stringify(ledger);
  return { key: key.id, body, seal: seal(key.secret, cipher, nothing, boundTo(body)) };
}

export function isAuthentic(row: LedgerRow, key: DataKey): boolean {
  return unseal(key.secret, row.seal, boundTo(row.body)) !== undefined;
}

/** What `row` says, authentic or not; undefined where it says nothing. */
export function readLedger(row: LedgerRow): Ledger | undefined {
  try {
    const ledger = JSON.parse(row.body) as Ledger;
    return ledger.v === 1 ? ledger : undefined;
  } catch {
    return undefined;
  }
}

/** Whose spool the ledger says that it is. Under any other name nothing in the file authenticates. */
export function originOf({ tenant, gateway }: Pick<Ledger, 'tenant' | 'gateway'>): OwnedOrigin {
  return Object.freeze({ tenant, gateway }) as OwnedOrigin;
}

const nothing = new Uint8Array();

function boundTo(body: string): Buffer {
  return Buffer.from(`merestone ledger 1\n${body}`);
}
