import { type RateLimits, TokenBucket } from './token-bucket.ts';

/** A token bucket that counts what it suppresses, so that the next one that passes can tell. */
export class Throttle {
  readonly #bucket: TokenBucket;
  #suppressed = 0;

  constructor(limits: RateLimits, nowMs: number) {
    this.#bucket = new TokenBucket(limits, nowMs);
  }

  /** Whether one may pass now, and how many were suppressed since the last that did. */
  take(nowMs: number): { pass: boolean; suppressed: number } {
    if (!this.#bucket.take(1, nowMs)) {
      this.#suppressed += 1;
      return { pass: false, suppressed: 0 };
    }
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return { pass: true, suppressed };
  }
}
