import { Throttle } from '../../base/throttle.ts';
import type { RateLimits } from '../../base/token-bucket.ts';
import type { FromSilo } from '../protocol.ts';

type LogLine = Extract<FromSilo, { type: 'log' }>;

/** Above the gateway's own limit for a silo's log lines, and below that of its messages (host/message-limit.ts). */
const lines: RateLimits = { perSecond: 20, burst: 400 };

/** Limits log lines before they leave the isolate, so that a loop of log lines does not end the silo. */
export class LogLimit {
  readonly #lines: Throttle;

  constructor(nowMs: number) {
    this.#lines = new Throttle(lines, nowMs);
  }

  /** The lines to send for `line`: itself, preceded by a count of omitted lines, or none. `nowMs` is monotonic. */
  pass(line: LogLine, nowMs: number): LogLine[] {
    const { pass, suppressed } = this.#lines.take(nowMs);
    if (!pass) return [];
    if (suppressed === 0) return [line];
    const fields = { lines: suppressed };
    return [{ type: 'log', level: 'warn', event: 'log lines left out in the silo', fields }, line];
  }
}
