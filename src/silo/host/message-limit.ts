import { type RateLimits, TokenBucket } from '../../base/token-bucket.ts';

/** A healthy silo sends far fewer unsolicited messages: a status a second, a few log lines, a commit every 50 ms. */
const ownMessages: RateLimits = { perSecond: 100, burst: 1000 };
/**
 * Answers that a silo may owe at once, one for each message it was given: 100,000 readings in samples of five that
 * waited for a slow card.
 */
const owedMax = 20_000;
/** A status has some 2 kB, a log line 2 kB at most, a credit 40 bytes. */
const bytes: RateLimits = { perSecond: 1_000_000, burst: 4_000_000 };

/**
 * Limits a silo's messages from outside, where the silo cannot change it: each message costs the gateway time that
 * the buses and the other silos need. Pure.
 */
export class MessageLimit {
  readonly #messages: TokenBucket;
  readonly #bytes: TokenBucket;
  #owed = 0;

  constructor(nowMs: number) {
    this.#messages = new TokenBucket(ownMessages, nowMs);
    this.#bytes = new TokenBucket(bytes, nowMs);
  }

  /** The silo was given a message, which it may answer. */
  given(): void {
    this.#owed = Math.min(owedMax, this.#owed + 1);
  }

  /** Counts a message from the silo. Returns why the silo must end; undefined while it is within the limits. */
  heard(byteCount: number, nowMs: number): string | undefined {
    if (!this.#bytes.take(byteCount, nowMs)) return `said more than ${bytes.perSecond / 1e6} MB a second`;
    if (this.#owed > 0) {
      this.#owed -= 1;
      return undefined;
    }
    if (this.#messages.take(1, nowMs)) return undefined;
    return `said more than ${ownMessages.perSecond} things a second without being asked`;
  }
}
