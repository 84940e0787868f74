import type { Outcome } from '../modbus/modbus-client.ts';
import type { Port } from './port.ts';

/** Every process of the box is looked at, so not at every silence. */
const checkAgainMs = 300_000;

/** Whether another process takes the answers: it looks like a silent device, or like noise. */
export class SharedPort {
  readonly #port: Port;
  #checkedAtMs = -Infinity;
  #sharer: string | null = null;

  constructor(port: Port) {
    this.#port = port;
  }

  /** The outcome, with who else has the port open where that may be why; found out in the background. */
  explain(outcome: Outcome, now: number): Outcome {
    if (outcome.kind !== 'fault') return outcome;
    if (now - this.#checkedAtMs >= checkAgainMs) {
      this.#checkedAtMs = now;
      this.#port.findSharer().then(
        (sharer) => {
          this.#sharer = sharer;
        },
        // What can't be seen is not told.
        () => {},
      );
    }
    if (this.#sharer === null) return outcome;
    const { detail = 'no answer in time' } = outcome;
    return { ...outcome, detail: `${detail}; ${this.#sharer} and takes answers from this one: stop it` };
  }
}
