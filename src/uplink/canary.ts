import { randomBytes } from 'node:crypto';
import type { Cancel, Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { formatDuration } from '../base/quantity.ts';
import type { Session } from './session.ts';

/** Those who wait for one canary. */
type Waiters = ((returned: boolean) => void)[];

/** The echo follows the acknowledgement at once on every broker seen; this is for a slow way back. */
const returnMs = 5000;
/** Where nothing is published for so long, a canary flies all the same: the status shows a closed door early. */
const idleMs = 60_000;
/** So that who asks waits a quarter of a round trip for the next one at most, however long the link is. */
const flightsMax = 4;

/**
 * Proof, where the protocol has none, that the broker took what it acknowledged: MQTT 3.1.1 brokers acknowledge what
 * their ACL refuses. A value that nobody can know before this session is published under our own root and must come
 * back through a subscription. A canary speaks for all that asked before it left.
 */
export class Canary {
  readonly #session: Pick<Session, 'subscribe' | 'publish' | 'onMessage'>;
  readonly #topic: string;
  readonly #clock: Clock;
  readonly #onLost: (fault: MerestoneError) => void;
  /** 128 random bits a session: no retained or repeated message of another one can stand in for an answer. */
  readonly #secret = randomBytes(16).toString('base64url');
  readonly #flights = new Map<string, Waiters>();
  /** The deadline of each acknowledged flight, or of the idle time where none is out. */
  readonly #timers = new Map<string, Cancel>();
  #count = 0;
  #next: Waiters = [];
  #closed = false;

  /** `onLost` is called once, when a canary did not come back; nothing is confirmed after that. */
  constructor(
    session: Pick<Session, 'subscribe' | 'publish' | 'onMessage'>,
    topic: string,
    clock: Clock,
    onLost: (fault: MerestoneError) => void,
  ) {
    this.#session = session;
    this.#topic = topic;
    this.#clock = clock;
    this.#onLost = onLost;
    session.onMessage = (payload) => this.#receive(payload.toString());
  }

  /** True when the first canary has come back. */
  async begin(): Promise<boolean> {
    const granted = await this.#session.subscribe(this.#topic);
    if (granted) return this.confirm();
    this.#lose('it refuses the subscription to');
    return false;
  }

  /** True when a canary that left after this call has come back; false when none will. */
  confirm(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (this.#closed) resolve(false);
    else this.#next.push(resolve);
    // What is acknowledged in the same read of the socket shares one canary.
    if (this.#next.length === 1) setImmediate(() => this.#launch());
    return promise;
  }

  /** The session is over: nothing more can be confirmed. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#timers.values()) cancel();
    for (const resolve of [...this.#flights.values(), this.#next].flat()) resolve(false);
    this.#timers.clear();
    this.#flights.clear();
    this.#next = [];
  }

  #launch(): void {
    if (this.#next.length === 0 || this.#flights.size >= flightsMax) return;
    this.#count += 1;
    const value = `${this.#secret}.${this.#count}`;
    this.#flights.set(value, this.#next);
    this.#next = [];
    this.#time('idle', idleMs, () => void this.confirm());
    const message = { topic: this.#topic, payload: Buffer.from(value), retain: false };
    void this.#session.publish(message).then(({ kind }) => {
      if (kind === 'unanswered' || !this.#flights.has(value)) return;
      this.#time(value, returnMs, () =>
        this.#lose(`nothing came back within ${formatDuration(returnMs)} from`),
      );
    });
  }

  #receive(value: string): void {
    const waiters = this.#flights.get(value);
    if (waiters === undefined) return;
    for (const resolve of waiters) resolve(true);
    this.#flights.delete(value);
    this.#timers.get(value)?.();
    this.#timers.delete(value);
    this.#launch();
  }

  #time(name: string, delayMs: number, callback: () => void): void {
    this.#timers.get(name)?.();
    this.#timers.set(name, this.#clock.after(delayMs, callback));
  }

  #lose(how: string): void {
    if (this.#closed) return;
    this.close();
    const root = this.#topic.replace(/[^/]+$/, '#');
    this.#onLost(
      new MerestoneError(
        'UplinkRefused',
        `${how} ${this.#topic}, so nothing proves that it takes our batches`,
        {
          hint: `let this certificate write and read ${root} on the broker`,
          retryable: true,
        },
      ),
    );
  }
}
