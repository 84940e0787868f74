import { type Cancel, type Clock, systemClock } from '../../src/base/clock.ts';

interface Timer {
  dueMs: number;
  callback: () => void;
  cancel: Cancel;
}

/** A clock that runs `factor` times as fast, and can leap: hours pass at once, with the timers that fall due. */
export class LeapingClock implements Clock {
  readonly #factor: number;
  readonly #timers = new Set<Timer>();
  #leaptMs = 0;

  constructor(factor: number) {
    this.#factor = factor;
  }

  wallMs(): number {
    return systemClock.wallMs() + this.#leaptMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() * this.#factor + this.#leaptMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer: Timer = { dueMs: this.monotonicMs() + Math.max(delayMs, 0), callback, cancel: () => {} };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => this.#remove(timer);
  }

  leap(ms: number): void {
    this.#leaptMs += ms;
    const nowMs = this.monotonicMs();
    const ordered = [...this.#timers].toSorted((a, b) => a.dueMs - b.dueMs);
    for (const timer of ordered) {
      // An earlier timer may have cancelled it.
      if (!this.#timers.has(timer)) continue;
      timer.cancel();
      if (timer.dueMs <= nowMs) this.#run(timer);
      else this.#arm(timer);
    }
  }

  #arm(timer: Timer): void {
    const waitMs = (timer.dueMs - this.monotonicMs()) / this.#factor;
    timer.cancel = systemClock.after(waitMs, () => this.#run(timer));
  }

  #run(timer: Timer): void {
    this.#remove(timer);
    timer.callback();
  }

  #remove(timer: Timer): void {
    timer.cancel();
    this.#timers.delete(timer);
  }
}
