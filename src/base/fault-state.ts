import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

/** A fault whose text changes all the time makes at most one log line in this time. */
const textChangeMs = 60_000;

/** Something that works or fails for a while: one log line when it begins to fail, and one when it works again. */
export class FaultState {
  readonly #what: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #fault: { reason: string; sinceMs: number; reportedAtMs: number } | undefined;

  /** `what` is the subject of both lines: 'the audit log'. */
  constructor(what: string, { clock, logger }: { clock: Clock; logger: Logger }) {
    this.#what = what;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Why it fails, and since when (monotonic ms); undefined while it works. */
  get fault(): { reason: string; sinceMs: number } | undefined {
    return this.#fault;
  }

  /** True where it worked before. */
  fail(reason: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#fault;
    const isReported = before !== undefined && nowMs - before.reportedAtMs < textChangeMs;
    const isNew = before?.reason !== reason && !isReported;
    if (isNew) this.#logger.error(`${this.#what} fails`, { reason });
    const reportedAtMs = isNew ? nowMs : before.reportedAtMs;
    this.#fault = { reason, sinceMs: before?.sinceMs ?? nowMs, reportedAtMs };
    return before === undefined;
  }

  /** True where it failed before. */
  clear(): boolean {
    const before = this.#fault;
    if (before === undefined) return false;
    this.#fault = undefined;
    const failedMs = Math.round(this.#clock.monotonicMs() - before.sinceMs);
    this.#logger.warn(`${this.#what} works again`, { failedMs });
    return true;
  }
}
