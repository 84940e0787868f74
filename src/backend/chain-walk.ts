import { createHash } from 'node:crypto';
import type { Steps } from '../base/steps.ts';
import { chainLink } from '../messages/hash-chain.ts';

/** A place of the chain: `chain` is chain(seq), hex. */
export interface ChainPlace {
  seq: number;
  chain: string;
}

/** A run of batches that follow one another from a signed place on; its places stand in the order of their numbers. */
interface Stretch {
  /** Where it begins: a signed place, or the start of the epoch. */
  from: ChainPlace;
  /** The last place whose value is signed. */
  proven: ChainPlace;
  /** Computed; every digest after it, up to the head, is still in memory. */
  base: ChainPlace;
  /** Computed: how far what arrived reaches. */
  head: ChainPlace;
}

export interface ChainWalkState {
  stretches: Stretch[];
}

export interface DigestChanges {
  added: Map<number, string>;
  /** Runs of which no digest is in memory any more; a run may hold numbers that never had one. */
  released: [from: number, to: number][];
}

export type ChainFinding =
  /** What arrived as batches `from` to `to` is exactly what was signed. */
  | { kind: 'verified'; from: number; to: number }
  /** What arrived as `from` to `to` is not what was signed: changed, added or exchanged. */
  | { kind: 'broken'; from: number; to: number }
  /** Two signatures give two values to one place. */
  | { kind: 'forked'; seq: number }
  /** `from` to `to` is no longer compared: `missing` never came. */
  | { kind: 'unverifiable'; from: number; to: number; missing: number };

type WalkResult = Extract<ChainFinding, { kind: 'verified' | 'broken' }>;

const start: ChainPlace = { seq: 0, chain: '0'.repeat(64) };

/**
 * Stretches at once. One begins where a signature overtakes missing batches: the backlog after an
 * outage is one, the live batches another. More only come of batches that never arrive.
 */
const stretchesMax = 16;

/** Digests in memory. A checkpoint frees those before it and comes every 500 batches: this is eight of them. */
const digestsMax = 4096;

/** Bytes between two steps. */
const stepBytes = 1024 * 1024;

/** SHA-256 of a batch, hex. */
export function* batchDigestSteps(payload: Uint8Array): Steps<string> {
  const hash = createHash('sha256');
  for (let from = 0; from < payload.length; from += stepBytes) {
    hash.update(payload.subarray(from, from + stepBytes));
    yield;
  }
  return hash.digest('hex');
}

/**
 * Walks the chain of one epoch over batches in any order of arrival: signatures fix places of the chain,
 * and between two fixed places what arrived is compared. A backlog may come after newer batches, a
 * checkpoint before or after what it covers. Touches nothing outside; `state` and the digests are all
 * that it knows.
 */
export class ChainWalk {
  readonly #stretches: Stretch[];
  /** SHA-256 of the batches after each stretch's base, hex. */
  readonly #digests: Map<number, string>;
  #changes: DigestChanges = { added: new Map(), released: [] };

  constructor(state?: ChainWalkState, digests: Iterable<readonly [number, string]> = []) {
    this.#stretches = structuredClone(state?.stretches) ?? [beginAt(start)];
    this.#digests = new Map(digests);
  }

  get state(): ChainWalkState {
    return { stretches: this.#stretches };
  }

  /** Batches whose digests are in memory. */
  get digestCount(): number {
    return this.#digests.size;
  }

  /** The digest of a batch that has not been compared yet. */
  digestOf(seq: number): string | undefined {
    return this.#digests.get(seq);
  }

  /** What was added to and taken from the digests since the last call, for the store that keeps them on disk. */
  drainChanges(): DigestChanges {
    const changes = this.#changes;
    this.#changes = { added: new Map(), released: [] };
    return changes;
  }

  takeBatch(seq: number, digest: string): ChainFinding[] {
    if (this.#isBehind(seq)) return [];
    this.#digests.set(seq, digest);
    this.#changes.added.set(seq, digest);
    const findings = this.#walkOn();
    if (this.#digests.size > digestsMax) this.#makeRoom(seq);
    return findings;
  }

  /** `place` stands under a signature that has been verified. */
  takeSigned(place: ChainPlace): ChainFinding[] {
    const index = this.#stretches.findLastIndex((each) => each.from.seq <= place.seq);
    const stretch = this.#stretches[index];
    if (stretch === undefined) return [];
    if (stretch.proven.seq === place.seq) {
      return stretch.proven.chain === place.chain ? [] : [{ kind: 'forked', seq: place.seq }];
    }
    if (stretch.head.seq < place.seq) {
      this.#stretches.splice(index + 1, 0, beginAt(place));
      return [...this.#walkOn(), ...this.#giveUpOldest()];
    }
    // Older than the digests in memory: a later signature covers it.
    if (place.seq < stretch.base.seq) return [];
    const result = judge(stretch, this.#walk(stretch.base, place.seq), place);
    if (result.kind === 'broken') stretch.head = place;
    stretch.proven = place;
    stretch.base = place;
    this.#release(result.from, place.seq);
    return [result, ...this.#walkOn()];
  }

  /** Whether a batch adds nothing to what was walked already. */
  #isBehind(seq: number): boolean {
    if (seq <= this.#stretches[0]!.from.seq) return true;
    return this.#stretches.some(({ from, head }) => from.seq < seq && seq <= head.seq);
  }

  /** Every head goes as far as it can; one that reaches the next stretch is compared with its signature. */
  #walkOn(): ChainFinding[] {
    const findings: ChainFinding[] = [];
    for (let index = 0; index < this.#stretches.length; index++) {
      const stretch = this.#stretches[index]!;
      for (let next = this.#stretches[index + 1]; ; next = this.#stretches[index + 1]) {
        stretch.head = this.#walk(stretch.head, next?.from.seq ?? Infinity);
        if (next === undefined || stretch.head.seq < next.from.seq) break;
        const result = judge(stretch, stretch.head, next.from);
        findings.push(result);
        this.#release(result.from, next.from.seq);
        this.#stretches.splice(index, 2, Object.assign(stretch, { ...next, from: stretch.from }));
      }
    }
    return findings;
  }

  /** From `place` along the digests in memory, to `limit` at most. */
  #walk(place: ChainPlace, limit: number): ChainPlace {
    let { seq, chain } = place;
    for (; seq < limit; seq++) {
      const digest = this.#digests.get(seq + 1);
      if (digest === undefined) break;
      chain = chainLink(Buffer.from(chain, 'hex'), Buffer.from(digest, 'hex')).toString('hex');
    }
    return { seq, chain };
  }

  #release(from: number, to: number): void {
    for (const seq of this.#digests.keys()) if (from <= seq && seq <= to) this.#forget(seq);
    this.#changes.released.push([from, to]);
  }

  #forget(seq: number): void {
    this.#digests.delete(seq);
    this.#changes.added.delete(seq);
  }

  /** Makes room for one digest: the longest stretch lets go of its oldest, else the newest one is not kept. */
  #makeRoom(newest: number): void {
    const longest = this.#stretches.reduce((a, b) =>
      b.head.seq - b.base.seq > a.head.seq - a.base.seq ? b : a,
    );
    const oldest = longest.base.seq + 1;
    if (oldest > longest.head.seq) return this.#forget(newest);
    longest.base = this.#walk(longest.base, oldest);
    this.#release(oldest, oldest);
  }

  #giveUpOldest(): ChainFinding[] {
    if (this.#stretches.length <= stretchesMax) return [];
    const { proven, head } = this.#stretches.shift()!;
    const to = this.#stretches[0]!.from.seq;
    this.#release(proven.seq + 1, to);
    return [{ kind: 'unverifiable', from: proven.seq + 1, to, missing: head.seq + 1 }];
  }
}

function judge({ proven }: Stretch, arrived: ChainPlace, signed: ChainPlace): WalkResult {
  const kind = arrived.chain === signed.chain ? 'verified' : 'broken';
  return { kind, from: proven.seq + 1, to: signed.seq };
}

function beginAt(place: ChainPlace): Stretch {
  return { from: place, proven: place, base: place, head: place };
}
