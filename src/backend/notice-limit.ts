import { TokenBucket } from '../base/token-bucket.ts';
import type { Clock } from '../base/clock.ts';
import type { Origin } from '../messages/topic.ts';
import type { Notice } from './notice.ts';

/** Lines about one gateway: an outage of many gaps passes, and who sends nonsense all day fills no disk with them. */
const perGateway = { perSecond: 1, burst: 200 };
/** How often the rest is told in numbers. */
const summaryMs = 60_000;
const gatewaysMax = 10_000;

interface Counter {
  origin: Origin;
  bucket: TokenBucket;
  /** kind → how many were not told. */
  untold: Map<string, number>;
}

/** Lets this many notices about each gateway through, and counts the rest. */
export class NoticeLimit {
  readonly #clock: Clock;
  readonly #notify: (notice: Notice) => void;
  readonly #counters = new Map<string, Counter>();
  #summaryAtMs: number;

  constructor(clock: Clock, notify: (notice: Notice) => void) {
    this.#clock = clock;
    this.#notify = notify;
    this.#summaryAtMs = clock.monotonicMs() + summaryMs;
  }

  pass(notice: Notice): void {
    const { origin, kind } = notice;
    if (origin === undefined) return this.#notify(notice);
    const nowMs = this.#clock.monotonicMs();
    const { bucket, untold } = this.#counterOf(origin, nowMs);
    if (bucket.take(1, nowMs)) this.#notify(notice);
    else untold.set(kind, (untold.get(kind) ?? 0) + 1);
  }

  /** To be called every second or so. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#summaryAtMs) return;
    this.#summaryAtMs = nowMs + summaryMs;
    this.reportRest();
  }

  /** What was not told, in numbers. */
  reportRest(): void {
    for (const counter of this.#counters.values()) this.#tell(counter);
  }

  #counterOf(origin: Origin, nowMs: number): Counter {
    const name = `${origin.tenant}/${origin.gateway}`;
    const known = this.#counters.get(name);
    if (known !== undefined) return known;
    if (this.#counters.size >= gatewaysMax) {
      const [oldest, counter] = this.#counters.entries().next().value!;
      this.#tell(counter);
      this.#counters.delete(oldest);
    }
    const account = {
      origin,
      bucket: new TokenBucket(perGateway, nowMs),
      untold: new Map<string, number>(),
    };
    this.#counters.set(name, account);
    return account;
  }

  #tell({ origin, untold }: Counter): void {
    if (untold.size === 0) return;
    const kinds = Object.fromEntries(untold);
    const words = [...untold].map(([kind, count]) => `${count} × ${kind}`).join(', ');
    untold.clear();
    const message = `too many to tell one by one: ${words}`;
    this.#notify({ severity: 'warning', kind: 'suppressed', message, origin, details: { kinds } });
  }
}
