/** Devices that ignore early requests need up to five seconds, as far as their users report. */
const triedMs = [0, 1500, 3000, 6000];

/**
 * How long a device needs between connecting and the first request. Some ignore a whole connection if the first request
 * came too early, others close it: so each useless connection is followed by one with a longer delay. A delay is kept
 * once a shorter one has failed and this one has helped, twice; once may be chance.
 */
export class ConnectDelay {
  readonly #configuredMs: number;
  #index = 0;
  /** Delay of the last useful connection. */
  #good: number | null = null;
  /** No delay has failed since. */
  #isRefuted = false;
  #needed = 0;

  constructor(configuredMs: number) {
    this.#configuredMs = configuredMs;
  }

  get ms(): number {
    return this.#configuredMs + triedMs[this.#index]!;
  }

  /** A device was asked on the connection, and nothing came. */
  useless(): void {
    const isFirst = this.#good !== null && this.#index === 0 && this.#good > 0;
    if (isFirst) this.#isRefuted = true;
    this.#index = isFirst ? this.#good! : (this.#index + 1) % triedMs.length;
  }

  useful(): void {
    if (this.#isRefuted && this.#good === this.#index) this.#needed = this.#index;
    this.#isRefuted = false;
    this.#good = this.#index;
  }

  /** A useful connection has ended. */
  again(): void {
    this.#index = this.#needed;
  }
}
