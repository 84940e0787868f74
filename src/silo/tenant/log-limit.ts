import { Throttle } from '../../base/throttle.ts';
import type { RateLimits } from '../../base/token-bucket.ts';
import type { FromSilo } from '../protocol.ts';

type LogLine = Extract<FromSilo, { type: 'log' }>;

/** More than the gateway's log takes of one silo, so that it decides; and too few to be ended for (message-limit.ts). */
const lines: RateLimits = { perSecond: 20, burst: 400 };

/** Holds a fault of our own that logs in a loop to what the gateway bears, before a line leaves the isolate. */
export class LogLimit {
  readonly #lines: Throttle;

  constructor(nowMs: number) {
    this.#lines = new Throttle(lines, nowMs);
  }

  /** What goes out for `line`: itself, after a word on those left out before it, or nothing. `nowMs` is monotonic. */
  pass(line: LogLine, nowMs: number): LogLine[] {
    const { pass, suppressed } = this.#lines.take(nowMs);
    if (!pass) return [];
    if (suppressed === 0) return [line];
    const fields = { lines: suppressed };
    return [{ type: 'log', level: 'warn', event: 'log lines left out in the silo', fields }, line];
  }
}
