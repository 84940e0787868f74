/** Lets `perSecond` through on average and one second's worth at once. */
export class RateQuota {
  readonly #perSecond: number;
  #tokens: number;
  #filledAtMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#filledAtMs = nowMs;
  }

  /** How many of `count` may pass now. `nowMs` is monotonic. */
  take(count: number, nowMs: number): number {
    const earned = ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + earned);
    this.#filledAtMs = nowMs;
    const passed = Math.min(count, Math.floor(this.#tokens));
    this.#tokens -= passed;
    return passed;
  }
}

const dayMs = 86_400_000;

/** Counts bytes by UTC day; once the day's share is used up, the backlog waits for the next. */
export class DayQuota {
  readonly #bytesPerDay: number;
  #day = -1;
  #used = 0;

  constructor(bytesPerDay: number) {
    this.#bytesPerDay = bytesPerDay;
  }

  used(wallMs: number): number {
    this.#turn(wallMs);
    return this.#used;
  }

  spend(bytes: number, wallMs: number): void {
    this.#turn(wallMs);
    this.#used += bytes;
  }

  exhausted(wallMs: number): boolean {
    return this.used(wallMs) >= this.#bytesPerDay;
  }

  #turn(wallMs: number): void {
    const day = Math.floor(wallMs / dayMs);
    if (day === this.#day) return;
    this.#day = day;
    this.#used = 0;
  }
}
