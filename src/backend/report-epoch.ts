import type { BatchDigest } from './evidence.ts';
import { SeqSet, type SeqRange } from './seq-set.ts';
import { StreamLedger } from './stream-ledger.ts';
import type { Statement } from './report.ts';

/** What is known of one epoch of one gateway. */
export interface EpochReport {
  gateway: string;
  epoch: string;
  /** Which batches came under whose signature first, and how many samples are in them. */
  signed: { from: number; to: number; samples: number; fingerprintSha256: string }[];
  /** What the consumer found to be exactly what was signed. */
  verified: SeqRange[];
  lost: { kind: string; from: number; to: number; samples: number; reason: string; signed: boolean }[];
  /** Named as missing and not seen since, with no event that says why. */
  missing: SeqRange[];
}

/** What became of the batches of one epoch that its gateway signed for. */
export interface EpochSum {
  gateway: string;
  epoch: string;
  /** Batches that a checkpoint speaks for. */
  signed: number;
  /** Of these: whose digests in the evidence make the signed chain. */
  verified: number;
  /** Of the others: declared dropped or quarantined under a signature. */
  declared: number;
  /** Signed - verified - declared. */
  unaccounted: SeqRange[];
  /** Of the unaccounted: what the consumer noted as verified, and the evidence has no digests to show it. */
  noted: number;
}

/** Epochs of one gateway in one report, and runs lost in one epoch: more only come of who means it. */
const epochsMax = 1000;
const lostMax = 10_000;
/** Checkpoints of one epoch that are held while they are read: a week's. */
const headsMax = 10_000;
/** Epochs whose chain is walked at once: the one that is over, and the one that goes on, and some to spare. */
const walksMax = 8;

type Finding = Readonly<Record<string, unknown>>;

interface SignedHead {
  seq: number;
  samples: number;
  fingerprintSha256: string;
}

interface EpochTotal {
  /** In order of `seq`. */
  heads: SignedHead[];
  verified: SeqSet;
  gaps: SeqSet;
  closed: SeqSet;
  lost: EpochReport['lost'];
  /** What the digests in the evidence show. */
  walked: SeqSet;
  /** The last batch that a checkpoint, and that any signature speaks for. */
  checkpointTo: number;
  signedTo: number;
  /** Whether something is of the time asked for. */
  isAsked: boolean;
}

/** Gathers what the lines of one gateway say about its epochs, in memory that goes with what is left to tell. */
export class EpochTotals {
  readonly #gateway: string;
  readonly #epochs = new Map<string, EpochTotal>();
  readonly #walks = new Map<string, StreamLedger>();
  /** Checkpoints came that there was no room for. */
  #isWithheld = false;
  /** What there was no room for. */
  omitted = 0;

  constructor(gateway: string) {
    this.#gateway = gateway;
  }

  takeStatement({ checkpoint, event, signer }: Statement, isAsked: boolean): void {
    if (checkpoint !== undefined && signer !== undefined) {
      const { epoch, seq, samples, previous } = checkpoint;
      const total = this.#total(epoch, isAsked);
      if (total !== undefined) {
        insertHead(total.heads, { seq, samples, fingerprintSha256: signer.fingerprintSha256 });
        this.#sign(epoch, total, checkpoint);
      }
      const before = previous && this.#total(previous.epoch, isAsked);
      if (before !== undefined) this.#sign(previous!.epoch, before, previous!);
    } else if (event !== undefined && 'seqFrom' in event) {
      const { kind, seqFrom: from, seqTo: to, samples, reason } = event;
      const account = this.#total(event.epoch, isAsked);
      if (account === undefined || account.lost.length >= lostMax) {
        this.omitted++;
        return;
      }
      account.lost.push({ kind, from, to, samples, reason, signed: signer !== undefined });
      if (signer === undefined) return;
      account.signedTo = Math.max(account.signedTo, to);
      this.#walk(event.epoch).takeLost(event, true);
    }
  }

  takeBatch({ epoch, seq, sha256 }: BatchDigest, isAsked: boolean): void {
    // A second chain is not the one that the epoch's checkpoints are about.
    const total = epoch.includes('~') ? undefined : this.#total(epoch, isAsked);
    if (total !== undefined) {
      this.#walk(epoch).takeBatch(seq, Buffer.from(sha256, 'base64url').toString('hex'));
    }
  }

  takeFinding({ epoch, kind, from, to, class: of }: Finding, isAsked: boolean): void {
    if (kind === 'evidence-limit' && of === 'signed') this.#isWithheld = true;
    if (typeof epoch !== 'string') return;
    const total = this.#total(epoch, isAsked);
    if (total === undefined || !Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return;
    const sets: Record<string, SeqSet> = {
      verified: total.verified,
      gap: total.gaps,
      'gap-closed': total.closed,
    };
    if (typeof kind === 'string' && Object.hasOwn(sets, kind)) sets[kind]!.add(from as number, to as number);
  }

  /** All lines were taken: the findings about the epochs, oldest first. */
  close(): { reports: EpochReport[]; sums: EpochSum[]; faults: string[] } {
    for (const [epoch, ledger] of this.#walks) this.#endWalk(epoch, ledger);
    const all = [...this.#epochs].sort(([a], [b]) => (a < b ? -1 : 1));
    const asked = all.filter(([, { isAsked }]) => isAsked);
    return {
      reports: asked.map(([epoch, total]) => this.#report(epoch, total)),
      sums: asked.flatMap(([epoch, total]) => (total.checkpointTo > 0 ? [this.#sum(epoch, total)] : [])),
      faults: all.flatMap(([epoch, total]) => this.#faultsOf(epoch, total)),
    };
  }

  #report(epoch: string, { heads, verified, gaps, closed, lost }: EpochTotal): EpochReport {
    const accounted = new SeqSet([...verified.runs, ...closed.runs].map(([from, to]) => [from, to]));
    // An unsigned event explains a gap only where nothing was verified.
    for (const { from, to, signed } of lost) if (signed || heads.length === 0) accounted.add(from, to);
    const missing = gaps.runs.flatMap(([from, to]) => accounted.missing(from, to));
    const gateway = this.#gateway;
    return { gateway, epoch, signed: signedRuns(heads), verified: rangesOf(verified), lost, missing };
  }

  #sum(epoch: string, { checkpointTo: signed, walked, verified, lost }: EpochTotal): EpochSum {
    const unverified = walked.missing(1, signed);
    const declared = new SeqSet(lost.filter((run) => run.signed).map(({ from, to }) => [from, to]));
    const unaccounted = unverified.flatMap(([from, to]) => declared.missing(from, to));
    const unnoted = unaccounted.flatMap(([from, to]) => verified.missing(from, to));
    const [open, left] = [countOf(unverified), countOf(unaccounted)];
    return {
      gateway: this.#gateway,
      epoch,
      signed,
      verified: signed - open,
      declared: open - left,
      unaccounted,
      noted: left - countOf(unnoted),
    };
  }

  /** Nothing is verified that was not signed. */
  #faultsOf(epoch: string, { verified, signedTo }: EpochTotal): string[] {
    const to = verified.runs.at(-1)?.[1] ?? 0;
    if (to <= signedTo || this.#isWithheld) return [];
    const signed = signedTo === 0 ? 'nothing' : `nothing beyond batch ${signedTo}`;
    return [`${this.#gateway} epoch ${epoch}: noted as verified to batch ${to}, and ${signed} is signed`];
  }

  #sign(epoch: string, total: EpochTotal, place: { seq: number; chain: string }): void {
    total.checkpointTo = Math.max(total.checkpointTo, place.seq);
    total.signedTo = Math.max(total.signedTo, place.seq);
    this.#walk(epoch).takeSigned(place);
  }

  /** Those of the epochs that were heard last. */
  #walk(epoch: string): StreamLedger {
    const ledger = this.#walks.get(epoch) ?? new StreamLedger();
    this.#walks.delete(epoch);
    this.#walks.set(epoch, ledger);
    ledger.drainChanges();
    if (this.#walks.size > walksMax) this.#endWalk(...this.#walks.entries().next().value!);
    return ledger;
  }

  #endWalk(epoch: string, ledger: StreamLedger): void {
    this.#walks.delete(epoch);
    for (const [from, to] of ledger.verified.runs) this.#epochs.get(epoch)?.walked.add(from, to);
  }

  #total(epoch: string, isAsked: boolean): EpochTotal | undefined {
    const known = this.#epochs.get(epoch);
    if (known !== undefined) {
      known.isAsked ||= isAsked;
      return known;
    }
    if (this.#epochs.size >= epochsMax) {
      this.omitted++;
      return undefined;
    }
    const sets = { verified: new SeqSet(), gaps: new SeqSet(), closed: new SeqSet(), walked: new SeqSet() };
    const total = { heads: [], ...sets, lost: [], checkpointTo: 0, signedTo: 0, isAsked };
    this.#epochs.set(epoch, total);
    return total;
  }
}

/** Heads come nearly in order. Where there are too many, those between two of the same signer go. */
function insertHead(heads: SignedHead[], head: SignedHead): void {
  const index = heads.findLastIndex(({ seq }) => seq <= head.seq) + 1;
  if (heads[index - 1]?.seq === head.seq) return;
  heads.splice(index, 0, head);
  if (heads.length <= headsMax) return;
  const ends = heads.filter(({ fingerprintSha256 }, at) => {
    return heads[at + 1]?.fingerprintSha256 !== fingerprintSha256;
  });
  heads.splice(0, heads.length, ...ends.slice(-headsMax / 2));
}

/** A checkpoint speaks for all batches up to its own; what an earlier one spoke for already is that one's. */
function signedRuns(heads: readonly SignedHead[]): EpochReport['signed'] {
  const runs: EpochReport['signed'] = [];
  let last = { seq: 0, samples: 0 };
  for (const { seq, samples, fingerprintSha256 } of heads) {
    const previous = runs.at(-1);
    if (previous?.fingerprintSha256 === fingerprintSha256) {
      previous.to = seq;
      previous.samples += samples - last.samples;
    } else {
      runs.push({ from: last.seq + 1, to: seq, samples: samples - last.samples, fingerprintSha256 });
    }
    last = { seq, samples };
  }
  return runs;
}

function rangesOf(set: SeqSet): SeqRange[] {
  return set.runs.map(([from, to]) => [from, to]);
}

function countOf(ranges: readonly SeqRange[]): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}
