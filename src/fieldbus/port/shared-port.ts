import type { Outcome } from '../modbus/modbus-client.ts';
import type { Port } from './port.ts';

/** The check reads every process of the box, so it does not run at every silence. */
const checkAgainMs = 300_000;

/** Detects another process that takes the answers: the effect looks like a silent device, or like noise. */
export class SharedPort {
  readonly #port: Port;
  #checkedAtMs = -Infinity;
  #sharer: string | null = null;

  constructor(port: Port) {
    this.#port = port;
  }

  /** The outcome, with the other process that has the port open if that may be the cause; checked in the background. */
  explain(outcome: Outcome, now: number): Outcome {
    if (outcome.kind !== 'fault') return outcome;
    if (now - this.#checkedAtMs >= checkAgainMs) {
      this.#checkedAtMs = now;
      this.#port.findSharer().then(
        (sharer) => {
          this.#sharer = sharer;
        },
        // Processes that this user can't see are not reported.
        () => {},
      );
    }
    if (this.#sharer === null) return outcome;
    const { detail = 'no answer in time' } = outcome;
    return { ...outcome, detail: `${detail}; ${this.#sharer} and takes answers from this one: stop it` };
  }
}
