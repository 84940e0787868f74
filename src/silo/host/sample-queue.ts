import type { LossReason } from '../../reading/loss.ts';
import { readingsOf, type Sample } from '../../reading/sample.ts';
import { LossCount } from '../loss-count.ts';

/** Ten seconds at the rate the gateway is built for (10,000 readings/s): longer than any fsync, some 20 MB. */
const readingsMax = 100_000;
/** Waiting samples are sent in pieces: a line of a socket holds about ten thousand samples with long names. */
const pieceSamples = 500;

/** A silo that has proved its tenant and accepts samples. */
export interface Taker {
  tenant: string;
  give(samples: Sample[]): void;
  /** True while the silo does not keep up. */
  isCongested(): boolean;
}

/** Samples that were sent together, and how many of their readings are not settled yet. */
interface Piece {
  readings: number;
  samples: number;
  /** ms since 1970 UTC. */
  givenAt: number;
}

type Receiver =
  | { at: 'waiting' }
  | { at: 'open'; taker: Taker }
  /** Every sample is lost, and counted. */
  | { at: 'closed'; reason: LossReason };

/**
 * The queue between the buses and a silo, kept over all of the silo's runs. Samples wait here while the silo is down,
 * and go only to a silo that has proved to be the tenant that they were taken for. Waiting and unsettled samples are
 * bounded together; losses are counted until the silo has been told of them.
 */
export class SampleQueue {
  readonly #wallMs: () => number;
  readonly #abandoned: (losses: Readonly<Record<string, number>>) => void;
  readonly #losses = new LossCount();
  #receiver: Receiver = { at: 'waiting' };
  /** The tenant that the waiting samples were taken for; null before one is proved. */
  #owner: string | null = null;
  #waiting: Sample[] = [];
  #waitingReadings = 0;
  /** Sent and not yet settled, oldest first. */
  #inHand: Piece[] = [];
  #inHandReadings = 0;

  /** `abandoned` gets the losses, by reason, of a tenant that another has replaced. */
  constructor(
    wallMs: () => number,
    abandoned: (losses: Readonly<Record<string, number>>) => void = () => {},
  ) {
    this.#wallMs = wallMs;
    this.#abandoned = abandoned;
  }

  /** Samples lost and not yet reported, by reason. */
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

  /** Starts delivery to `taker`; samples that waited for another tenant are dropped. */
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

  /** The silo is down for a while: samples wait. */
  shut(): void {
    this.#receiver = { at: 'waiting' };
  }

  /** The silo will not return: waiting and new samples are lost. */
  close(reason: LossReason): void {
    this.#lose(reason, this.#takeWaiting());
    this.#receiver = { at: 'closed', reason };
  }

  /** False if the silo settles more readings than it was given. */
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

  /** The silo is gone, and its unsettled samples with it. */
  giveUpInHand(): void {
    const samples = this.#inHand.reduce((sum, piece) => sum + piece.samples, 0);
    const from = this.#inHand[0]?.givenAt ?? 0;
    this.#losses.add({ reason: 'crash', samples, from, to: this.#wallMs() });
    this.#inHand = [];
    this.#inHandReadings = 0;
  }

  /** The runs of losses since the last call, to be reported. */
  takeLosses(): ReturnType<LossCount['take']> {
    return this.#losses.take();
  }

  /** Another tenant's losses are not reported to this one, not even their number. */
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
