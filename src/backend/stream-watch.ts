import type { Clock } from '../base/clock.ts';
import { GapWatch } from './gap-watch.ts';
import type { Notice } from './notice.ts';
import { formatRanges, SeqSet, type SeqRange } from './seq-set.ts';
import type { StreamKey } from './state-store.ts';
import type { StreamLedger } from './stream-ledger.ts';

/** What is only of this moment about a stream, beside what its ledger keeps. */
interface Watch {
  gaps: GapWatch;
  duplicates: SeqSet;
  /** Of the ledger when its gaps were last looked at. */
  revision: number;
}

/** Runs of duplicates that a notice lists; who repeats more on purpose has them counted. */
const listedMax = 100;

/** Speaks of duplicates in bulk, and of gaps when they last. */
export class StreamWatch {
  readonly #clock: Clock;
  readonly #gapGraceMs: number;
  readonly #watches = new WeakMap<StreamLedger, Watch>();

  constructor(clock: Clock, gapGraceMs: number) {
    this.#clock = clock;
    this.#gapGraceMs = gapGraceMs;
  }

  noteDuplicate(ledger: StreamLedger, seq: number): void {
    this.#watch(ledger).duplicates.add(seq);
  }

  /** What there is to say now; to be asked every second or so. */
  check(streams: Iterable<readonly [StreamKey, StreamLedger]>): Notice[] {
    const nowMs = this.#clock.monotonicMs();
    return [...streams].flatMap(([key, ledger]) => this.#checkStream(key, ledger, nowMs, false));
  }

  /** The last word about a stream that is looked at no more: its gaps are named as they are. */
  leave(key: StreamKey, ledger: StreamLedger): Notice[] {
    return this.#checkStream(key, ledger, this.#clock.monotonicMs(), true);
  }

  /** Streams of which nothing changed and nothing is due cost no more than this question. */
  #checkStream(key: StreamKey, ledger: StreamLedger, nowMs: number, atOnce: boolean): Notice[] {
    const watch = this.#watch(ledger);
    const { runs } = watch.duplicates;
    const notices = runs.length === 0 ? [] : [duplicates(key, runs)];
    if (runs.length > 0) watch.duplicates = new SeqSet();
    if (watch.revision === ledger.revision && nowMs < watch.gaps.dueMs && !atOnce) return notices;
    watch.revision = ledger.revision;
    const { lasting, closed } = watch.gaps.check(ledger.gaps(), nowMs, atOnce);
    return [
      ...notices,
      ...lasting.map((range) => gap(key, range)),
      ...closed.map((range) => gapClosed(key, range)),
    ];
  }

  #watch(ledger: StreamLedger): Watch {
    let watch = this.#watches.get(ledger);
    if (watch === undefined) {
      watch = { gaps: new GapWatch(this.#gapGraceMs), duplicates: new SeqSet(), revision: -1 };
      this.#watches.set(ledger, watch);
    }
    return watch;
  }
}

function duplicates(key: StreamKey, batches: SeqSet['runs']): Notice {
  const message = `came again and were dropped: ${formatRanges(batches)}`;
  return {
    severity: 'info',
    kind: 'duplicates',
    message,
    ...place(key),
    details: { batches: batches.slice(0, listedMax) },
  };
}

function gap(key: StreamKey, range: SeqRange): Notice {
  const message = `missing, and no event says why: ${formatRanges([range])}`;
  return {
    severity: 'warning',
    kind: 'gap',
    message,
    ...place(key),
    details: { from: range[0], to: range[1] },
  };
}

function gapClosed(key: StreamKey, range: SeqRange): Notice {
  const message = `no longer missing: ${formatRanges([range])}`;
  return {
    severity: 'info',
    kind: 'gap-closed',
    message,
    ...place(key),
    details: { from: range[0], to: range[1] },
  };
}

function place({ tenant, gateway, epoch }: StreamKey): Pick<Notice, 'origin' | 'epoch'> {
  return { origin: { tenant, gateway }, epoch };
}
