import { backoffMs } from '../../../base/backoff.ts';

/** The outcome of one publish, the same for all protocols. */
export type DeliveryOutcome =
  | 'accepted'
  /** The broker refused it. */
  | 'refused'
  /** The broker discarded it: there is no subscriber. */
  | 'no-subscribers'
  /** It stayed larger than the broker's limit for too long. */
  | 'impossible'
  /** The session ended before the answer. */
  | 'unsettled';

/** `ack`: leaves the spool. `reject`: quarantine. `release`: back in line. `aside`: tried again later, others first. */
export type DeliveryResult = 'ack' | 'reject' | 'release' | 'aside';

interface Strikes {
  count: number;
  retryAtMs: number;
  /** Batches accepted when the first strike fell: more since then means that others pass. */
  acceptedBefore: number;
}

/** Refusals of one batch, while others are accepted, that prove the batch and not the broker is at fault. */
export const strikesMax = 5;
/** If more batches than this are refused at once, the broker is at fault, not a batch. */
export const setAsideMax = 16;
/** After this many lost sessions in a row without an accepted batch, batches go one at a time to find the cause. */
const lossesBeforeProbing = 2;

const pauseOptions = { initialMs: 1000, maxMs: 60_000, jitter: 0.3 };

/**
 * Distinguishes a batch that the broker will never accept from a broker that accepts nothing: decides each outcome,
 * how many batches may be in flight, and how long to pause. Pure but for its counters.
 */
export class Delivery {
  readonly #strikes = new Map<string, Strikes>();
  readonly #random: () => number;
  #accepted = 0;
  #failuresInRow = 0;
  #lossesInRow = 0;
  #pausedUntilMs = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  /** A batch is suspected of ending the session: batches go one by one, each proven before the next. */
  get isProbing(): boolean {
    return this.#lossesInRow >= lossesBeforeProbing;
  }

  /** Batches in flight at most: one by one while a batch is suspected of ending the session. */
  window(most: number): number {
    return this.isProbing ? 1 : most;
  }

  /** `alone`: nothing else was in flight, so this batch may have ended the session. */
  decide(id: string, outcome: DeliveryOutcome, nowMs: number, alone: boolean): DeliveryResult {
    switch (outcome) {
      case 'accepted':
        this.#accepted += 1;
        this.#failuresInRow = 0;
        this.#lossesInRow = 0;
        this.#strikes.delete(id);
        return 'ack';
      case 'impossible':
        this.#strikes.delete(id);
        return 'reject';
      case 'no-subscribers':
        this.#pause(nowMs);
        return 'release';
      case 'refused':
        return this.#strike(id, nowMs);
      case 'unsettled':
        return alone && this.isProbing ? this.#strike(id, nowMs) : 'release';
    }
  }

  /** The session ended with batches in flight. */
  sessionLost(): void {
    this.#lossesInRow += 1;
  }

  /** When a batch that was put aside is due again. */
  retryAtMs(id: string): number {
    return this.#strikes.get(id)?.retryAtMs ?? 0;
  }

  /** Forgets all refusals: the broker is at fault. */
  forgive(): void {
    this.#strikes.clear();
  }

  #strike(id: string, nowMs: number): DeliveryResult {
    const strikes = this.#strikes.get(id) ?? { count: 0, retryAtMs: 0, acceptedBefore: this.#accepted };
    strikes.count += 1;
    const othersPass = this.#accepted > strikes.acceptedBefore;
    if (strikes.count >= strikesMax && othersPass) {
      this.#strikes.delete(id);
      return 'reject';
    }
    strikes.retryAtMs = nowMs + backoffMs(strikes.count, pauseOptions, this.#random());
    this.#strikes.set(id, strikes);
    this.#pause(nowMs);
    return 'aside';
  }

  /** One failure among successes causes no pause; a run of failures causes growing pauses. */
  #pause(nowMs: number): void {
    this.#failuresInRow += 1;
    if (this.#failuresInRow === 1) return;
    this.#pausedUntilMs = nowMs + backoffMs(this.#failuresInRow - 1, pauseOptions, this.#random());
  }
}
