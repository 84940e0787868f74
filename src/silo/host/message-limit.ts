import { type RateLimits, TokenBucket } from '../../base/token-bucket.ts';

/** A status a second, a few log lines, a commit every 50 ms: what a silo says of its own accord is far below. */
const ownMessages: RateLimits = { perSecond: 100, burst: 1000 };
/**
 * One answer to each message that it was given. So many may be owed at once: what waited for a slow card, 100,000
 * readings in samples of five.
 */
const owedMax = 20_000;
/** A status has some 2 kB, a log line 2 kB at most, a credit 40 bytes. */
const bytes: RateLimits = { perSecond: 1_000_000, burst: 4_000_000 };

/**
 * How much a silo may say, counted from outside, where it has no say: everything that it says costs the gateway
 * time that the buses and the neighbours need. Pure.
 */
export class MessageLimit {
  readonly #messages: TokenBucket;
  readonly #bytes: TokenBucket;
  #owed = 0;

  constructor(nowMs: number) {
    this.#messages = new TokenBucket(ownMessages, nowMs);
    this.#bytes = new TokenBucket(bytes, nowMs);
  }

  /** It was given something, and may answer. */
  given(): void {
    this.#owed = Math.min(owedMax, this.#owed + 1);
  }

  /** It said something. Why it may not go on; undefined where all is well. */
  heard(byteCount: number, nowMs: number): string | undefined {
    if (!this.#bytes.take(byteCount, nowMs)) return `said more than ${bytes.perSecond / 1e6} MB a second`;
    if (this.#owed > 0) {
      this.#owed -= 1;
      return undefined;
    }
    if (this.#messages.take(1, nowMs)) return undefined;
    return `said more than ${ownMessages.perSecond} things a second that nobody asked for`;
  }
}
