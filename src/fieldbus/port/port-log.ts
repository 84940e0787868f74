import { Throttle } from '../../base/throttle.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';

/** A port that is opened and lost in turn is logged a few times, then once a minute. */
const openLines = { perSecond: 1 / 60, burst: 4 };
/** Each different reason is logged once until the port has worked again, and at most this many. */
const reportedReasonsMax = 4;

/** Logs a port: a line for each change, and no more for one that is tried for weeks. */
export class PortLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #isConnection: boolean;
  readonly #lines: Throttle;
  readonly #reportedReasons = new Set<string>();
  #isReportedOpen = false;

  constructor(logger: Logger, clock: Clock, isConnection: boolean) {
    this.#logger = logger;
    this.#isConnection = isConnection;
    this.#clock = clock;
    this.#lines = new Throttle(openLines, clock.monotonicMs());
  }

  lost(reason: string): void {
    if (this.#reportedReasons.has(reason) || this.#reportedReasons.size >= reportedReasonsMax) return;
    this.#reportedReasons.add(reason);
    this.#isReportedOpen = false;
    this.#logger.warn('port lost', { reason });
  }

  /** A connection that was lost is back once it has worked: many accept and then close, or send something else. */
  opened(): void {
    if (this.#isConnection && this.#reportedReasons.size > 0) return;
    if (this.#isReportedOpen || !this.#lines.take(this.#clock.monotonicMs()).pass) return;
    this.#isReportedOpen = true;
    this.#logger.info('port open');
  }

  shared(by: string): void {
    this.#logger.warn('port shared', { by });
  }

  /** It works: every later fault is logged again. */
  worked(): void {
    this.#reportedReasons.clear();
  }
}
