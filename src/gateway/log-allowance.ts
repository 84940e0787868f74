import { Allowance, type AllowanceLimits } from '../base/allowance.ts';

/** A silo in trouble says a few things a second; a flood would drown the other silos' lines in the log. */
const lines: AllowanceLimits = { perSecond: 10, burst: 200 };

/** How much of the gateway's log one silo may have. */
export class LogAllowance {
  readonly #allowance: Allowance;
  #suppressed = 0;

  constructor(nowMs: number) {
    this.#allowance = new Allowance(lines, nowMs);
  }

  /** Whether a line may pass now, and how many did not since the last that did. */
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
