import { TokenBucket } from '../base/token-bucket.ts';
import type { Clock } from '../base/clock.ts';
import type { Origin } from '../messages/topic.ts';
import type { Notice } from './notice.ts';

/** Lines about one gateway: an outage of many gaps passes, and who sends nonsense all day fills no disk with them. */
const perGateway = { perSecond: 1, burst: 200 };
/** How often the rest is told in numbers. */
const summaryMs = 60_000;
const gatewaysMax = 10_000;

interface Account {
  origin: Origin;
  allowance: TokenBucket;
  /** kind → how many were not told. */
  untold: Map<string, number>;
}

/** Lets so many notices about each gateway through, and counts the rest. */
export class NoticeLimit {
  readonly #clock: Clock;
  readonly #notify: (notice: Notice) => void;
  readonly #accounts = new Map<string, Account>();
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
    const { allowance, untold } = this.#account(origin, nowMs);
    if (allowance.take(1, nowMs)) this.#notify(notice);
    else untold.set(kind, (untold.get(kind) ?? 0) + 1);
  }

  /** To be called every second or so. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#summaryAtMs) return;
    this.#summaryAtMs = nowMs + summaryMs;
    this.tellRest();
  }

  /** What was not told, in numbers. */
  tellRest(): void {
    for (const account of this.#accounts.values()) this.#tell(account);
  }

  #account(origin: Origin, nowMs: number): Account {
    const name = `${origin.tenant}/${origin.gateway}`;
    const known = this.#accounts.get(name);
    if (known !== undefined) return known;
    if (this.#accounts.size >= gatewaysMax) {
      const [oldest, account] = this.#accounts.entries().next().value!;
      this.#tell(account);
      this.#accounts.delete(oldest);
    }
    const account = {
      origin,
      allowance: new TokenBucket(perGateway, nowMs),
      untold: new Map<string, number>(),
    };
    this.#accounts.set(name, account);
    return account;
  }

  #tell({ origin, untold }: Account): void {
    if (untold.size === 0) return;
    const kinds = Object.fromEntries(untold);
    const words = [...untold].map(([kind, count]) => `${count} × ${kind}`).join(', ');
    untold.clear();
    const message = `too many to tell one by one: ${words}`;
    this.#notify({ severity: 'warning', kind: 'suppressed', message, origin, details: { kinds } });
  }
}
