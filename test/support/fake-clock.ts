import type { Clock } from '../../src/base/clock.ts';

interface Timer {
  dueMs: number;
  callback: () => void;
}

/** A clock that a test sets. Timers run in the order of their time, each at its own instant. */
export class FakeClock implements Clock {
  #wallMs: number;
  #monotonicMs: number;
  readonly #timers = new Set<Timer>();

  constructor(wallMs = Date.UTC(2026, 10, 22), monotonicMs = 1_000_000) {
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#monotonicMs + Math.max(delayMs, 0), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass, and runs the timers that fall due. */
  advance(ms: number): void {
    const endMs = this.#monotonicMs + ms;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#moveTo(next.dueMs);
      this.#timers.delete(next);
      next.callback();
    }
    this.#moveTo(endMs);
  }

  /** As `advance`, and runs pending promises after each timer. */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    await settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#moveTo(next.dueMs);
      this.#timers.delete(next);
      next.callback();
      await settle();
    }
    this.#moveTo(endMs);
    await settle();
  }

  /** Sets the wall clock, as NTP does; the monotonic clock is not affected. */
  setWall(wallMs: number): void {
    this.#wallMs = wallMs;
  }

  get timers(): number {
    return this.#timers.size;
  }

  #next(endMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }

  #moveTo(monotonicMs: number): void {
    const passed = Math.max(0, monotonicMs - this.#monotonicMs);
    this.#wallMs += passed;
    this.#monotonicMs += passed;
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
