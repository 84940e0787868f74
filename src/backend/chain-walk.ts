import { createHash } from 'node:crypto';
import { chainLink } from '../stream/chain.ts';

/** A place of the chain: `chain` is chain(seq), hex. */
export interface ChainPlace {
  seq: number;
  chain: string;
}

/** A declared run of batches that will not come, with the chain value on both sides where it is known. */
export interface ChainHole {
  seqFrom: number;
  seqTo: number;
  chainBefore: string | null;
  chainAfter: string | null;
}

/** A part of the chain that can be walked without a break, its places in the order of their numbers. */
interface Stretch {
  /** Where it begins: a signed place, or the start of the epoch. */
  from: ChainPlace;
  /** The last place whose value is signed, or the start of the epoch. */
  proven: ChainPlace;
  /** Computed; every digest after it, up to the head, is still held. */
  base: ChainPlace;
  /** Computed: how far what arrived reaches. */
  head: ChainPlace;
}

export interface DigestChanges {
  added: Map<number, string>;
  /** Runs of which no digest is held any more; a run may hold numbers that never had one. */
  released: [from: number, to: number][];
}

export interface ChainWalkState {
  stretches: Stretch[];
  holes: ChainHole[];
}

export type ChainFinding =
  /** Batches `from` to `to` are exactly the signed ones, but for those that events declare lost. */
  | { kind: 'verified'; from: number; to: number }
  /** What arrived as `from` to `to` is not what was signed: changed, added or exchanged. */
  | { kind: 'broken'; from: number; to: number }
  /** An event says that its hole follows upon other batches than those that arrived as `from` to `to`. */
  | { kind: 'hole-disagrees'; from: number; to: number }
  /** Two signatures give two values to one place. */
  | { kind: 'forked'; seq: number }
  /** `from` to `to` is no longer compared: `missing` never came and no event says why. */
  | { kind: 'unverifiable'; from: number; to: number; missing: number };

type Verdict = Extract<ChainFinding, { kind: 'verified' | 'broken' }>;

const start: ChainPlace = { seq: 0, chain: '0'.repeat(64) };

/**
 * Stretches at once. One begins where a checkpoint overtakes missing batches: the backlog after an
 * outage is one, the live batches another. More only come of batches that never arrive.
 */
const stretchesMax = 16;

/** Declared holes ahead: more than a spool that is full all day reports between two checkpoints. */
const holesMax = 1024;

/** Digests held. A checkpoint frees those before it and comes every 500 batches: this is eight of them. */
const digestsMax = 4096;

export function batchDigest(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex');
}

/**
 * Walks the chain of one epoch over batches in any order of arrival: a backlog comes after newer
 * batches, a checkpoint before or after what it covers, an event before or after the hole is reached.
 * Touches nothing outside; `state` and `digests` are all that it knows.
 */
export class ChainWalk {
  readonly #stretches: Stretch[];
  readonly #holes: ChainHole[];
  /** SHA-256 of the batches after each stretch's base, hex. */
  readonly #digests: Map<number, string>;
  #changes: DigestChanges = { added: new Map(), released: [] };

  constructor(state?: ChainWalkState, digests: Iterable<readonly [number, string]> = []) {
    this.#stretches = structuredClone(state?.stretches) ?? [beginAt(start)];
    this.#holes = structuredClone(state?.holes) ?? [];
    this.#digests = new Map(digests);
  }

  get state(): ChainWalkState {
    return { stretches: this.#stretches, holes: this.#holes };
  }

  /** The digest of a batch that has not been proven yet. */
  digestOf(seq: number): string | undefined {
    return this.#digests.get(seq);
  }

  /** What was added to and taken from the digests since the last call, for whoever keeps them on disk. */
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

  takeHole(hole: ChainHole): ChainFinding[] {
    const known = this.#holes.some((each) => each.seqFrom === hole.seqFrom && each.seqTo === hole.seqTo);
    if (known || this.#isBehind(hole.seqTo)) return [];
    if (this.#holes.length === holesMax) this.#holes.shift();
    this.#holes.push(hole);
    return this.#walkOn();
  }

  /** `place` stands in a checkpoint whose signature has been verified. */
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
    // Older than the digests held, or in the midst of a hole: the next checkpoint covers it.
    if (place.seq < stretch.base.seq) return [];
    const reached = this.#walk(stretch.base, place.seq);
    if (reached.seq !== place.seq) return [];
    const verdict = judge(stretch, place, reached.chain === place.chain);
    if (verdict.kind === 'broken') stretch.head = place;
    stretch.proven = place;
    stretch.base = place;
    this.#release(verdict.from, place.seq);
    return [verdict, ...this.#walkOn()];
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
        this.#stretches.splice(index + 1, 1);
        // A hole may lead over all of the next stretch, and then there is nothing to compare.
        if (stretch.head.seq > next.head.seq) continue;
        const same = stretch.head.seq > next.from.seq || stretch.head.chain === next.from.chain;
        const verdict = judge(stretch, next.from, same);
        findings.push(verdict);
        this.#release(verdict.from, next.from.seq);
        Object.assign(stretch, { ...next, from: stretch.from });
      }
      findings.push(...this.#dropDisagreeingHoles(stretch));
    }
    return findings;
  }

  /** From `place` over digests and holes to `limit`, or past it where a hole leads there. */
  #walk(place: ChainPlace, limit: number): ChainPlace {
    let { seq, chain } = place;
    while (seq < limit) {
      const digest = this.#digests.get(seq + 1);
      if (digest !== undefined) {
        chain = chainLink(Buffer.from(chain, 'hex'), Buffer.from(digest, 'hex')).toString('hex');
        seq++;
        continue;
      }
      const hole = this.#holes.find((each) => leadsOn(each, { seq, chain }));
      if (hole === undefined) break;
      seq = hole.seqTo;
      chain = hole.chainAfter!;
    }
    return { seq, chain };
  }

  #dropDisagreeingHoles({ proven, head }: Stretch): ChainFinding[] {
    const index = this.#holes.findIndex(
      (hole) => hole.seqFrom === head.seq + 1 && hole.chainBefore !== null && hole.chainBefore !== head.chain,
    );
    if (index < 0) return [];
    this.#holes.splice(index, 1);
    return [{ kind: 'hole-disagrees', from: proven.seq + 1, to: head.seq }];
  }

  #release(from: number, to: number): void {
    for (const seq of this.#digests.keys()) if (from <= seq && seq <= to) this.#forget(seq);
    this.#changes.released.push([from, to]);
    const holes = this.#holes.filter((hole) => hole.seqTo < from || hole.seqTo > to);
    this.#holes.splice(0, this.#holes.length, ...holes);
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
    const from = longest.base.seq + 1;
    if (from > longest.head.seq) {
      this.#forget(newest);
      return;
    }
    longest.base = this.#walk(longest.base, from);
    this.#release(from, longest.base.seq);
  }

  #giveUpOldest(): ChainFinding[] {
    if (this.#stretches.length <= stretchesMax) return [];
    const { proven, head } = this.#stretches.shift()!;
    const to = this.#stretches[0]!.from.seq;
    this.#release(proven.seq + 1, to);
    return [{ kind: 'unverifiable', from: proven.seq + 1, to, missing: head.seq + 1 }];
  }
}

/** Whether a hole's far side can be reached from `place`: its near edge, or within it where some of it came. */
function leadsOn(hole: ChainHole, place: ChainPlace): boolean {
  if (hole.chainAfter === null || place.seq >= hole.seqTo || place.seq < hole.seqFrom - 1) return false;
  return place.seq > hole.seqFrom - 1 || hole.chainBefore === place.chain;
}

function judge({ proven }: Stretch, signed: ChainPlace, same: boolean): Verdict {
  return { kind: same ? 'verified' : 'broken', from: proven.seq + 1, to: signed.seq };
}

function beginAt(place: ChainPlace): Stretch {
  return { from: place, proven: place, base: place, head: place };
}
