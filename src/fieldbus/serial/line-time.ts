import type { Cancel, Clock } from '../../base/clock.ts';

/** Is told what its device took of the line's time. */
export type Book = (ms: number) => void;

/** Time is booked at least this often while it passes, so that figures and shares follow within a second. */
const bookEveryMs = 1000;

/**
 * Whose the time of a line is, booked as it passes: it belongs to the device that talks, and while none talks to
 * those that measure, in equal parts. So no moment is booked twice, and waiting counts as use.
 */
export class LineTime {
  readonly #clock: Clock;
  readonly #measuring = new Set<Book>();
  #talking: Book | null = null;
  #bookedAtMs: number;
  #cancelTick: Cancel = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#bookedAtMs = clock.monotonicMs();
  }

  /** `null`: nobody talks from now on. */
  talk(book: Book | null): void {
    this.settle();
    this.#talking = book;
    this.#tick();
  }

  /** Returns what ends it. */
  measure(book: Book): () => void {
    this.settle();
    this.#measuring.add(book);
    this.#tick();
    return () => {
      this.settle();
      this.#measuring.delete(book);
      this.#tick();
    };
  }

  /** Books the time until now. */
  settle(): void {
    const now = this.#clock.monotonicMs();
    const passedMs = now - this.#bookedAtMs;
    this.#bookedAtMs = now;
    if (passedMs <= 0) return;
    const owners = this.#talking === null ? [...this.#measuring] : [this.#talking];
    for (const book of owners) book(passedMs / owners.length);
  }

  #tick(): void {
    this.#cancelTick();
    if (this.#talking === null && this.#measuring.size === 0) return;
    this.#cancelTick = this.#clock.after(bookEveryMs, () => {
      this.settle();
      this.#tick();
    });
  }
}
