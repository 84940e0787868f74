import { Throttle } from '../../../base/throttle.ts';
import type { Logger } from '../../../base/logger.ts';
import type { DeviceStatus } from '../../../status/status.ts';

type State = DeviceStatus['state'];

/** A device that wavers may say so a few times at once, then once a minute. */
const lines = { perSecond: 1 / 60, burst: 4 };

const events: Record<Exclude<State, 'starting' | 'measuring'>, string> = {
  good: 'device back',
  partial: 'device partial',
  failing: 'device failing',
  offline: 'device offline',
};

/** Logs each change of a device's state once. One that is held back is told later, unless it is over by then. */
export class DeviceLog {
  readonly #logger: Logger;
  readonly #allowance: Throttle;
  #told: State = 'starting';

  constructor(logger: Logger, now: number) {
    this.#logger = logger;
    this.#allowance = new Throttle(lines, now);
  }

  /** `reason` is only asked for what is logged. */
  note(state: State, reason: () => string | null, now: number): void {
    if (state === this.#told || state === 'starting' || state === 'measuring') return;
    const isFirst = this.#told === 'starting';
    if (isFirst && state === 'good') {
      this.#told = state;
      return;
    }
    const { pass, suppressed } = this.#allowance.take(now);
    if (!pass) return;
    this.#told = state;
    const held = suppressed > 0 ? { changesNotLogged: suppressed } : {};
    if (state === 'good') this.#logger.info(events.good, held);
    else this.#logger.warn(events[state], { reason: reason(), ...held });
  }
}
