export interface AllowanceLimits {
  perSecond: number;
  /** At once, after a rest. */
  burst: number;
}

/** So much a second on average, and so much at once. Times are monotonic ms. */
export class Allowance {
  readonly #limits: AllowanceLimits;
  #left: number;
  #filledAtMs: number;

  constructor(limits: AllowanceLimits, nowMs: number) {
    this.#limits = limits;
    this.#left = limits.burst;
    this.#filledAtMs = nowMs;
  }

  /** Whether `count` may pass now; what may not costs nothing. */
  take(count: number, nowMs: number): boolean {
    const { perSecond, burst } = this.#limits;
    const earned = ((nowMs - this.#filledAtMs) / 1000) * perSecond;
    this.#left = Math.min(burst, this.#left + earned);
    this.#filledAtMs = nowMs;
    if (this.#left < count) return false;
    this.#left -= count;
    return true;
  }
}

/** An allowance that counts what it does not let pass, so that the next that passes can tell. */
export class CountingAllowance {
  readonly #allowance: Allowance;
  #suppressed = 0;

  constructor(limits: AllowanceLimits, nowMs: number) {
    this.#allowance = new Allowance(limits, nowMs);
  }

  /** Whether one may pass now, and how many did not since the last that did. */
  take(nowMs: number): { pass: boolean; suppressed: number } {
    if (!this.#allowance.take(1, nowMs)) {
      this.#suppressed += 1;
      return { pass: false, suppressed: 0 };
    }
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return { pass: true, suppressed };
  }
}
