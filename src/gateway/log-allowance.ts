/** A silo in trouble says a few things a second; a flood would drown the other silos' lines in the log. */
const linesPerSecond = 10;
const burstLines = 200;

/** How much of the gateway's log one silo may have. */
export class LogAllowance {
  #lines = burstLines;
  #filledAtMs: number;
  #suppressed = 0;

  constructor(nowMs: number) {
    this.#filledAtMs = nowMs;
  }

  /** Whether a line may pass now, and how many did not since the last that did. */
  take(nowMs: number): { pass: boolean; suppressed: number } {
    const earned = ((nowMs - this.#filledAtMs) / 1000) * linesPerSecond;
    this.#lines = Math.min(burstLines, this.#lines + earned);
    this.#filledAtMs = nowMs;
    if (this.#lines < 1) {
      this.#suppressed += 1;
      return { pass: false, suppressed: 0 };
    }
    this.#lines -= 1;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return { pass: true, suppressed };
  }
}
