/** A rate on average, and how much may go at once after a rest. */
export interface RateLimits {
  perSecond: number;
  burst: number;
}

/** Holds messages, lines, samples or bytes to a rate. Times are monotonic ms; one that goes back gains nothing. */
export class TokenBucket {
  readonly #limits: RateLimits;
  /** Below zero: a debt. */
  #tokens: number;
  #filledAtMs: number;

  constructor(limits: RateLimits, nowMs: number) {
    this.#limits = limits;
    this.#tokens = limits.burst;
    this.#filledAtMs = nowMs;
  }

  /** Takes all of `count` or, if there is less, nothing. Whether it took. */
  take(count: number, nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Takes as many of `count` as there are, in whole numbers. How many it took. */
  takeUpTo(count: number, nowMs: number): number {
    this.#fill(nowMs);
    const taken = Math.max(0, Math.min(count, Math.floor(this.#tokens)));
    this.#tokens -= taken;
    return taken;
  }

  /**
   * Takes `count` even if there is less, which leaves a debt. With `waitMs` before each one, the rate holds over time
   * for messages of any size.
   */
  spend(count: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#tokens -= count;
  }

  /** How long the next message has to wait; 0: it may go now. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens > 0 ? 0 : Math.ceil(((1 - this.#tokens) / this.#limits.perSecond) * 1000);
  }

  #fill(nowMs: number): void {
    const { perSecond, burst } = this.#limits;
    const earned = (Math.max(0, nowMs - this.#filledAtMs) / 1000) * perSecond;
    this.#tokens = Math.min(burst, this.#tokens + earned);
    this.#filledAtMs = Math.max(nowMs, this.#filledAtMs);
  }
}
