import type { LossReason } from '../reading/loss.ts';

/** A run of samples dropped for one reason, reported as one event. */
export interface SampleLoss {
  reason: LossReason;
  samples: number;
  /** Times of the first and the last, ms since 1970 UTC. */
  from: number;
  to: number;
}

/** Counts dropped samples by reason, so that a flood makes one event per interval and not one per sample. */
export class LossCount {
  readonly #open = new Map<string, SampleLoss>();
  readonly #totals: Record<string, number> = {};

  /** Samples dropped since the start, by reason. */
  get totals(): Readonly<Record<string, number>> {
    return this.#totals;
  }

  /** Samples of the runs not yet reported, by reason. */
  get open(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#open.values()].map(({ reason, samples }) => [reason, samples]));
  }

  /** Whether there is a run to report. */
  get hasOpen(): boolean {
    return this.#open.size > 0;
  }

  add(loss: SampleLoss): void {
    if (loss.samples === 0) return;
    this.#totals[loss.reason] = (this.#totals[loss.reason] ?? 0) + loss.samples;
    this.putBack(loss);
  }

  /** Returns a run that could not be reported, without counting it twice. */
  putBack(loss: SampleLoss): void {
    const open = this.#open.get(loss.reason);
    if (open === undefined) {
      this.#open.set(loss.reason, { ...loss });
      return;
    }
    open.samples += loss.samples;
    open.from = Math.min(open.from, loss.from);
    open.to = Math.max(open.to, loss.to);
  }

  /** The runs since the last call. */
  take(): SampleLoss[] {
    const runs = [...this.#open.values()];
    this.#open.clear();
    return runs;
  }
}
