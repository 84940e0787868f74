import { ConnectDelay } from './connect-delay.ts';

/** A line or connection that stayed open this long counts as working, even without data. */
const provenAfterMs = 30_000;

/** After this many connections in a row with one answer each, the next is expected to give no more. */
const oneShotAfter = 3;

/** Results of the successive openings of a port. Pure: times come in. */
export class OpenPeriod {
  readonly #isConnection: boolean;
  readonly #delay: ConnectDelay;
  #openedAtMs = 0;
  #isUseful = false;
  #isAsked = false;
  #useless = 0;
  #answers = 0;
  #singles = 0;

  constructor(isConnection: boolean, connectDelayMs: number) {
    this.#isConnection = isConnection;
    this.#delay = new ConnectDelay(connectDelayMs);
  }

  get isUseful(): boolean {
    return this.#isUseful;
  }

  /** Connections in a row with requests and without a useful answer. */
  get useless(): number {
    return this.#useless;
  }

  /** The peer closes each connection after one answer; a later request on it is lost. */
  get isOneShot(): boolean {
    return this.#isConnection && this.#singles >= oneShotAfter;
  }

  /** Between opening and the first request. */
  get delayMs(): number {
    return this.#delay.ms;
  }

  opened(now: number): void {
    this.#openedAtMs = now;
    this.#answers = 0;
    this.#isUseful = false;
    this.#isAsked = false;
  }

  asked(): void {
    this.#isAsked = true;
  }

  proved(): void {
    if (!this.#isUseful) this.#delay.useful();
    this.#answers += 1;
    this.#isUseful = true;
    this.#useless = 0;
  }

  /** Returns whether it has worked. */
  ended(now: number): boolean {
    this.#singles = this.#answers === 1 ? this.#singles + 1 : 0;
    if (this.#isUseful) this.#delay.again();
    else if (this.#isAsked && this.#isConnection) {
      this.#useless += 1;
      this.#delay.useless();
    }
    return this.#isUseful || now - this.#openedAtMs >= provenAfterMs;
  }
}
