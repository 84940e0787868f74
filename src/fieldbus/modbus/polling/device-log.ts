import { Throttle } from '../../../base/throttle.ts';
import type { Logger } from '../../../base/logger.ts';
import type { DeviceStatus } from '../../../status/status.ts';

type State = DeviceStatus['state'];

/** A device that alternates is logged a few times at once, then once a minute. */
const lines = { perSecond: 1 / 60, burst: 4 };

const events: Record<Exclude<State, 'starting' | 'measuring'>, string> = {
  good: 'device back',
  partial: 'device partial',
  failing: 'device failing',
  offline: 'device offline',
};

/** Logs each change of a device's state once. A throttled line is logged later, unless the state has changed back. */
export class DeviceLog {
  readonly #logger: Logger;
  readonly #throttle: Throttle;
  #told: State = 'starting';

  constructor(logger: Logger, now: number) {
    this.#logger = logger;
    this.#throttle = new Throttle(lines, now);
  }

  /** `reason` is only called for lines that are logged. */
  note(state: State, reason: () => string | null, now: number): void {
    if (state === this.#told || state === 'starting' || state === 'measuring') return;
    const isFirst = this.#told === 'starting';
    if (isFirst && state === 'good') {
      this.#told = state;
      return;
    }
    const { pass, suppressed } = this.#throttle.take(now);
    if (!pass) return;
    this.#told = state;
    const held = suppressed > 0 ? { changesNotLogged: suppressed } : {};
    if (state === 'good') this.#logger.info(events.good, held);
    else this.#logger.warn(events[state], { reason: reason(), ...held });
  }
}
