import { readingsOf, type Sample } from '../reading/sample.ts';

/** Ten seconds at the rate the gateway is built for (10,000 readings/s): longer than any fsync, some 20 MB. */
const readingsMax = 100_000;

/** Samples that are lost, and since when. */
export interface GivenUp {
  samples: number;
  from: number;
}

/**
 * One silo's samples between bus and isolate: those that wait for it to be there, and those that it has in its
 * hands and has not settled. Both together are bounded.
 */
export class Handover {
  #waiting: Sample[] = [];
  #waitingReadings = 0;
  #inHand = { readings: 0, samples: 0, since: 0 };

  /** Whether the silo may have so much more. */
  admits(samples: readonly Sample[]): boolean {
    return this.#inHand.readings + this.#waitingReadings + readings(samples) <= readingsMax;
  }

  wait(samples: readonly Sample[]): void {
    this.#waiting.push(...samples);
    this.#waitingReadings += readings(samples);
  }

  /** What has waited, to be given. */
  takeWaiting(): Sample[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingReadings = 0;
    return waiting;
  }

  given(samples: readonly Sample[], wallMs: number): void {
    if (this.#inHand.samples === 0) this.#inHand.since = wallMs;
    this.#inHand.readings += readings(samples);
    this.#inHand.samples += samples.length;
  }

  settled(readings: number): void {
    this.#inHand.readings = Math.max(0, this.#inHand.readings - readings);
    if (this.#inHand.readings === 0) this.#inHand.samples = 0;
  }

  /** The isolate is gone, with what it had in its hands. */
  giveUpInHand(): GivenUp {
    const { samples, since } = this.#inHand;
    this.#inHand = { readings: 0, samples: 0, since: 0 };
    return { samples, from: since };
  }

  /** Nobody comes for what waits. */
  giveUpWaiting(): GivenUp {
    const waiting = this.takeWaiting();
    return { samples: waiting.length, from: waiting[0]?.wallMs ?? 0 };
  }
}

function readings(samples: readonly Sample[]): number {
  return samples.reduce((sum, sample) => sum + readingsOf(sample), 0);
}
