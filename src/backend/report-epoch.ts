import { SeqSet, type SeqRange } from './seq-set.ts';
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

/** Epochs of one gateway in one report, and runs lost in one epoch: more only come of who means it. */
const epochsMax = 1000;
const lostMax = 10_000;
/** Checkpoints of one epoch that are held while they are read: a week's. */
const headsMax = 10_000;

interface SignedHead {
  seq: number;
  samples: number;
  fingerprintSha256: string;
}

interface EpochAccount {
  /** In order of `seq`. */
  heads: SignedHead[];
  verified: SeqSet;
  gaps: SeqSet;
  closed: SeqSet;
  lost: EpochReport['lost'];
}

/** Gathers what the lines of one gateway say about its epochs, in memory that goes with what is left to tell. */
export class EpochAccounts {
  readonly #gateway: string;
  readonly #epochs = new Map<string, EpochAccount>();
  /** What there was no room for. */
  omitted = 0;

  constructor(gateway: string) {
    this.#gateway = gateway;
  }

  takeStatement({ checkpoint, event, signer }: Statement): void {
    if (checkpoint !== undefined) {
      const { epoch, seq, samples } = checkpoint;
      const account = this.#account(epoch);
      if (account === undefined || signer === undefined) return;
      insertHead(account.heads, { seq, samples, fingerprintSha256: signer.fingerprintSha256 });
    } else if (event !== undefined && 'seqFrom' in event) {
      const { kind, seqFrom: from, seqTo: to, samples, reason } = event;
      const lost = this.#account(event.epoch)?.lost;
      if (lost === undefined || lost.length >= lostMax) this.omitted++;
      else lost.push({ kind, from, to, samples, reason, signed: signer !== undefined });
    }
  }

  takeFinding({ epoch, kind, from, to }: Readonly<Record<string, unknown>>): void {
    if (typeof epoch !== 'string') return;
    const account = this.#account(epoch);
    if (account === undefined || !Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return;
    const sets: Record<string, SeqSet> = {
      verified: account.verified,
      gap: account.gaps,
      'gap-closed': account.closed,
    };
    if (typeof kind === 'string' && Object.hasOwn(sets, kind)) sets[kind]!.add(from as number, to as number);
  }

  /** Oldest first. */
  reports(): EpochReport[] {
    return [...this.#epochs]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([epoch, { heads, verified, gaps, closed, lost }]) => {
        const accounted = new SeqSet([...verified.runs, ...closed.runs].map(([from, to]) => [from, to]));
        // An event that nobody signed explains a gap only where nothing was verified.
        for (const { from, to, signed } of lost) if (signed || heads.length === 0) accounted.add(from, to);
        const missing = gaps.runs.flatMap(([from, to]) => accounted.missing(from, to));
        const gateway = this.#gateway;
        return { gateway, epoch, signed: signedRuns(heads), verified: rangesOf(verified), lost, missing };
      });
  }

  #account(epoch: string): EpochAccount | undefined {
    const known = this.#epochs.get(epoch);
    if (known !== undefined) return known;
    if (this.#epochs.size >= epochsMax) {
      this.omitted++;
      return undefined;
    }
    const [verified, gaps, closed] = [new SeqSet(), new SeqSet(), new SeqSet()];
    const account: EpochAccount = { heads: [], verified, gaps, closed, lost: [] };
    this.#epochs.set(epoch, account);
    return account;
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
