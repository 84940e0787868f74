import type { LostRun } from '../messages/event.ts';
import {
  ChainWalk,
  type ChainFinding,
  type ChainPlace,
  type ChainWalkState,
  type DigestChanges,
} from './chain-walk.ts';
import { SeqSet, type SeqRange } from './seq-set.ts';

/**
 * Gaps of one stream that are waited for. An outage makes one; this many only come of a sender that
 * means it, and then the lowest is closed: what still comes for it is welcome.
 */
const gapsMax = 1024;

/** Verified runs remembered: each break between two is a stretch that could not be compared. */
const verifiedRunsMax = 1024;

/** Batches of a stream whose digests are kept: a spool file that is set back by a day lies within. */
export const seenMax = 65_536;
/** Of SHA-256: no one finds a second content by chance, and only the owner of the key can make one on purpose. */
const seenBytes = 16;

/** What is known of one (tenant, gateway, epoch); plain, so it can be stored. */
export interface StreamState {
  received: SeqRange[];
  lost: SeqRange[];
  verified: SeqRange[];
  /** The last batch known to exist, by arrival or by signature. */
  knownTo: number;
  /** The last batch that the epoch will ever have: its successor's first checkpoint named it. */
  endsAt: number | null;
  /** Batches before it came to an earlier version, which kept no digests of them. */
  seenFrom?: number;
  /** It was told that this is the second chain of an epoch. */
  forkReported?: boolean;
  chain: ChainWalkState;
}

export type LedgerFinding =
  | ChainFinding
  /** A batch came again with other bytes than the first time. */
  | { kind: 'altered'; seq: number; fork: number }
  /** A second chain over numbers that came before. */
  | { kind: 'forked'; seq: number; fork: number }
  /** A batch came of an epoch whose signed end lies before it. */
  | { kind: 'beyond-end'; seq: number; endsAt: number }
  /** More gaps than are waited for: this one is closed. */
  | { kind: 'gap-closed-unfilled'; from: number; to: number };

export interface BatchResult {
  /**
   * - `fresh`: it was not here before
   * - `duplicate`: it was, and its rows must not be written again
   * - `other`: one of its number was, with other content
   * - `unknown`: one of its number was, so long ago that its content is not known any more
   */
  kind: 'fresh' | 'duplicate' | 'other' | 'unknown';
  findings: LedgerFinding[];
}

export interface LedgerChanges extends DigestChanges {
  /** Digests of the batches that came. */
  arrived: Map<number, Uint8Array>;
}

/** Which batches of one stream came, which are missing or declared lost, and what is proven of them. */
export class StreamLedger {
  readonly #received: SeqSet;
  readonly #lost: SeqSet;
  #verified: SeqSet;
  readonly #chain: ChainWalk;
  #knownTo: number;
  #endsAt: number | null;
  readonly #seenFrom: number;
  #forkReported: boolean;
  #arrived = new Map<number, Uint8Array>();
  #revision = 0;

  constructor(state?: StreamState, digests: Iterable<readonly [number, string]> = []) {
    this.#received = new SeqSet(state?.received);
    this.#lost = new SeqSet(state?.lost);
    this.#verified = new SeqSet(state?.verified);
    this.#chain = new ChainWalk(state?.chain, digests);
    this.#knownTo = state?.knownTo ?? 0;
    this.#endsAt = state?.endsAt ?? null;
    this.#seenFrom = state === undefined ? 1 : (state.seenFrom ?? state.knownTo + 1);
    this.#forkReported = state?.forkReported ?? false;
  }

  /** Another one where gaps may have changed. */
  get revision(): number {
    return this.#revision;
  }

  get state(): StreamState {
    return {
      received: this.#received.runs as SeqRange[],
      lost: this.#lost.runs as SeqRange[],
      verified: this.#verified.runs as SeqRange[],
      knownTo: this.#knownTo,
      endsAt: this.#endsAt,
      seenFrom: this.#seenFrom,
      ...(this.#forkReported && { forkReported: true }),
      chain: this.#chain.state,
    };
  }

  get received(): SeqSet {
    return this.#received;
  }

  /** Batches under a verified signature. */
  get verified(): SeqSet {
    return this.#verified;
  }

  /** Digests in memory beside `state`. */
  get digestCount(): number {
    return this.#chain.digestCount;
  }

  /** What is to be kept beside `state`. */
  drainChanges(): LedgerChanges {
    const arrived = this.#arrived;
    this.#arrived = new Map();
    return { ...this.#chain.drainChanges(), arrived };
  }

  /** `digest`: SHA-256 of the batch, hex. `kept`: the digest that is kept of the batch of this number. */
  takeBatch(seq: number, digest: string, kept?: Uint8Array): BatchResult {
    const before = this.#received.has(seq) ? this.#compare(seq, digest, kept) : 'fresh';
    if (before !== 'fresh') return { kind: before, findings: [] };
    const findings: LedgerFinding[] = [];
    if (this.#endsAt !== null && seq > this.#endsAt) {
      findings.push({ kind: 'beyond-end', seq, endsAt: this.#endsAt });
    }
    this.#revision++;
    this.#received.add(seq);
    this.#arrived.set(seq, Buffer.from(digest, 'hex').subarray(0, seenBytes));
    this.#knownTo = Math.max(this.#knownTo, seq);
    findings.push(...closeLowestGap(this.#received), ...this.#note(this.#chain.takeBatch(seq, digest)));
    return { kind: 'fresh', findings };
  }

  /** Of a second chain: what it is to be called when a batch of it came; it is told once that it is one. */
  judgeFork(seq: number, fork: number, firstIsVerified: boolean): LedgerFinding[] {
    if (this.#forkReported) return [];
    if (!firstIsVerified && !this.#received.has(seq - 1)) return [{ kind: 'altered', seq, fork }];
    this.#forkReported = true;
    return [{ kind: 'forked', seq, fork }];
  }

  /** What a batch is whose number is among those received: one that was given up came never. */
  #compare(seq: number, digest: string, kept: Uint8Array | undefined): BatchResult['kind'] {
    const first = this.#chain.digestOf(seq) ?? (kept && Buffer.from(kept).toString('hex'));
    if (first !== undefined) return digest.startsWith(first) ? 'duplicate' : 'other';
    return seq >= Math.max(this.#seenFrom, this.#knownTo - seenMax) ? 'fresh' : 'unknown';
  }

  /**
   * A run that an event declares dropped or quarantined. Batches of it that come all the same are welcome.
   * Only where the event is signed do its chain values count.
   */
  takeLost(
    run: Pick<LostRun, 'seqFrom' | 'seqTo' | 'chainBefore' | 'chainAfter'>,
    signed: boolean,
  ): LedgerFinding[] {
    const { seqFrom, seqTo, chainBefore, chainAfter } = run;
    this.#revision++;
    this.#lost.add(seqFrom, seqTo);
    this.#knownTo = Math.max(this.#knownTo, seqTo);
    const findings = closeLowestGap(this.#lost);
    if (!signed) return findings;
    if (chainBefore !== null) findings.push(...this.takeSigned({ seq: seqFrom - 1, chain: chainBefore }));
    if (chainAfter !== null) findings.push(...this.takeSigned({ seq: seqTo, chain: chainAfter }));
    return findings;
  }

  /** A place of this stream's chain that stands under a verified signature. */
  takeSigned({ seq, chain }: ChainPlace): LedgerFinding[] {
    this.#revision++;
    this.#knownTo = Math.max(this.#knownTo, seq);
    return this.#note(this.#chain.takeSigned({ seq, chain }));
  }

  /** The last head of this stream, as the first checkpoint of the epoch after it names it. */
  takeEnd(place: ChainPlace): LedgerFinding[] {
    this.#endsAt = place.seq;
    return this.takeSigned(place);
  }

  /**
   * Batches that have not come and that no event explains. What lies before the first batch ever
   * received is not ours to miss: it went to the consumer of that time.
   */
  gaps(): SeqRange[] {
    const first = this.#received.first;
    if (first === undefined) return [];
    return this.#received.missing(first, this.#knownTo).flatMap(([from, to]) => this.#lost.missing(from, to));
  }

  #note(findings: ChainFinding[]): ChainFinding[] {
    for (const finding of findings) {
      if (finding.kind === 'verified') this.#verified.add(finding.from, finding.to);
    }
    const { runs } = this.#verified;
    if (runs.length > verifiedRunsMax) this.#verified = new SeqSet(runs.slice(1) as SeqRange[]);
    // What was declared lost needs no comparison.
    return findings.filter(
      (finding) => finding.kind !== 'unverifiable' || this.#lost.missing(finding.from, finding.to).length > 0,
    );
  }
}

function closeLowestGap(set: SeqSet): LedgerFinding[] {
  const [first, second] = set.runs;
  if (set.runs.length <= gapsMax || first === undefined || second === undefined) return [];
  const [from, to] = [first[1] + 1, second[0] - 1];
  set.add(from, to);
  return [{ kind: 'gap-closed-unfilled', from, to }];
}
