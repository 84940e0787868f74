import type { Cancel, Clock } from '../../base/clock.ts';

/** Gets the line time that its device used. */
export type Charge = (ms: number) => void;

/** Time is charged at least this often while it passes, so that figures and shares follow within a second. */
const chargeEveryMs = 1000;

/**
 * Charges a line's time to devices as it passes: to the device that talks, else in equal parts to those that measure.
 * So no moment is charged twice, and waiting counts as use.
 */
export class LineTime {
  readonly #clock: Clock;
  readonly #measuring = new Set<Charge>();
  #talking: Charge | null = null;
  #chargedAtMs: number;
  #cancelTick: Cancel = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#chargedAtMs = clock.monotonicMs();
  }

  /** `null`: no device talks from now on. */
  talk(charge: Charge | null): void {
    this.settle();
    this.#talking = charge;
    this.#tick();
  }

  /** Returns the function that ends it. */
  measure(charge: Charge): () => void {
    this.settle();
    this.#measuring.add(charge);
    this.#tick();
    return () => {
      this.settle();
      this.#measuring.delete(charge);
      this.#tick();
    };
  }

  /** Charges the time until now. */
  settle(): void {
    const now = this.#clock.monotonicMs();
    const passedMs = now - this.#chargedAtMs;
    this.#chargedAtMs = now;
    if (passedMs <= 0) return;
    const owners = this.#talking === null ? [...this.#measuring] : [this.#talking];
    for (const charge of owners) charge(passedMs / owners.length);
  }

  #tick(): void {
    this.#cancelTick();
    if (this.#talking === null && this.#measuring.size === 0) return;
    this.#cancelTick = this.#clock.after(chargeEveryMs, () => {
      this.settle();
      this.#tick();
    });
  }
}
