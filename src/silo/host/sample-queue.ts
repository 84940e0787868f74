import type { LossReason } from '../../reading/loss.ts';
import { readingsOf, type Sample } from '../../reading/sample.ts';
import { LossCount } from '../loss-count.ts';

/** Ten seconds at the rate the gateway is built for (10,000 readings/s): longer than any fsync, some 20 MB. */
const readingsMax = 100_000;
/** What has waited is given in pieces: one line of a socket holds some ten thousand samples with long names. */
const pieceSamples = 500;

/** A silo that has proved whose it is, and takes samples. */
export interface Taker {
  tenant: string;
  give(samples: Sample[]): void;
  /** It does not keep up with what was given. */
  isCongested(): boolean;
}

/** Samples that were given together, and how many of their readings are not settled yet. */
interface Piece {
  readings: number;
  samples: number;
  /** ms since 1970 UTC. */
  givenAt: number;
}

type Receiver =
  | { at: 'waiting' }
  | { at: 'open'; taker: Taker }
  /** What comes is lost, and counted. */
  | { at: 'closed'; reason: LossReason };

/**
 * The one waiting room between buses and a silo, whatever serves it: samples wait in it while the silo is away, and
 * go on only to one that has proved to be the tenant that they were taken for. What waits and what the silo has in
 * its hands is bounded; what is lost is counted until the silo has been told.
 */
export class SampleQueue {
  readonly #wallMs: () => number;
  readonly #abandoned: (losses: Readonly<Record<string, number>>) => void;
  readonly #losses = new LossCount();
  #receiver: Receiver = { at: 'waiting' };
  /** For whom what waits was taken; null where nobody has been proved yet. */
  #owner: string | null = null;
  #waiting: Sample[] = [];
  #waitingReadings = 0;
  /** Given, and not yet settled, oldest first. */
  #inHand: Piece[] = [];
  #inHandReadings = 0;

  /** `abandoned` is told what was lost of a tenant whose place another one has taken, by reason. */
  constructor(
    wallMs: () => number,
    abandoned: (losses: Readonly<Record<string, number>>) => void = () => {},
  ) {
    this.#wallMs = wallMs;
    this.#abandoned = abandoned;
  }

  /** What was lost and has not been told, by reason. */
  get untold(): Readonly<Record<string, number>> {
    return this.#losses.open;
  }

  deliver(samples: Sample[]): void {
    if (this.#receiver.at === 'closed') return this.#lose(this.#receiver.reason, samples);
    const readings = readingsIn(samples);
    const isTooMuch = this.#inHandReadings + this.#waitingReadings + readings > readingsMax;
    if (isTooMuch || (this.#receiver.at === 'open' && this.#receiver.taker.isCongested())) {
      return this.#lose('overrun', samples);
    }
    if (this.#receiver.at === 'open') return this.#give(this.#receiver.taker, samples);
    this.#waiting.push(...samples);
    this.#waitingReadings += readings;
  }

  /** What waited for another tenant is given up. */
  open(taker: Taker): void {
    const waiting = this.#takeWaiting();
    this.#receiver = { at: 'open', taker };
    const isForAnother = this.#owner !== null && this.#owner !== taker.tenant;
    this.#owner = taker.tenant;
    if (isForAnother) return this.#abandon(waiting);
    for (let from = 0; from < waiting.length; from += pieceSamples) {
      this.#give(taker, waiting.slice(from, from + pieceSamples));
    }
  }

  /** The silo is away for a while. */
  shut(): void {
    this.#receiver = { at: 'waiting' };
  }

  /** Nobody comes for what waits, nor for what comes. */
  close(reason: LossReason): void {
    this.#lose(reason, this.#takeWaiting());
    this.#receiver = { at: 'closed', reason };
  }

  /** False where the silo settles more than it was given. */
  settle(readings: number): boolean {
    if (readings > this.#inHandReadings) return false;
    this.#inHandReadings -= readings;
    let left = readings;
    for (
      let first = this.#inHand[0];
      first !== undefined && left >= first.readings;
      first = this.#inHand[0]
    ) {
      left -= first.readings;
      this.#inHand.shift();
    }
    const [partly] = this.#inHand;
    if (partly !== undefined) partly.readings -= left;
    return true;
  }

  /** The silo is gone, with what it had in its hands. */
  giveUpInHand(): void {
    const samples = this.#inHand.reduce((sum, piece) => sum + piece.samples, 0);
    const from = this.#inHand[0]?.givenAt ?? 0;
    this.#losses.add({ reason: 'crash', samples, from, to: this.#wallMs() });
    this.#inHand = [];
    this.#inHandReadings = 0;
  }

  /** The runs of losses since the last call, to be told. */
  takeLosses(): ReturnType<LossCount['take']> {
    return this.#losses.take();
  }

  /** What was another tenant's is nobody's business here: not even how much it was. */
  #abandon(waiting: readonly Sample[]): void {
    this.#lose('restart', waiting);
    const untold = this.untold;
    this.#losses.take();
    if (Object.keys(untold).length > 0) this.#abandoned(untold);
  }

  #give(taker: Taker, samples: Sample[]): void {
    const readings = readingsIn(samples);
    this.#inHand.push({ readings, samples: samples.length, givenAt: this.#wallMs() });
    this.#inHandReadings += readings;
    taker.give(samples);
  }

  #takeWaiting(): Sample[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingReadings = 0;
    return waiting;
  }

  #lose(reason: LossReason, samples: readonly Sample[]): void {
    const from = samples[0]?.wallMs ?? 0;
    this.#losses.add({ reason, samples: samples.length, from, to: samples.at(-1)?.wallMs ?? 0 });
  }
}

function readingsIn(samples: readonly Sample[]): number {
  return samples.reduce((sum, sample) => sum + readingsOf(sample), 0);
}
