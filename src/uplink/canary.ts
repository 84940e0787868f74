import { randomBytes } from 'node:crypto';
import type { Cancel, Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { formatDuration } from '../base/quantity.ts';
import type { Session } from './session.ts';

interface Flight {
  value: string;
  waiters: ((returned: boolean) => void)[];
}

/** The echo follows the acknowledgement at once on every broker seen; this is for a slow way back. */
const returnMs = 5000;
/** Where nothing is published for so long, a canary flies all the same: the status shows a closed door early. */
const idleMs = 60_000;

/**
 * Proof, where the protocol has none, that the broker took what it acknowledged: MQTT 3.1.1 brokers acknowledge what
 * their ACL refuses. A value that nobody can know before this session is published under our own root and must come
 * back through a subscription. One canary is in flight at a time and speaks for all that asked before it left.
 */
export class Canary {
  readonly #session: Pick<Session, 'subscribe' | 'publish' | 'onMessage'>;
  readonly #topic: string;
  readonly #clock: Clock;
  readonly #onLost: (fault: MerestoneError) => void;
  /** 128 random bits a session: no retained or repeated message of another one can stand in for an answer. */
  readonly #secret = randomBytes(16).toString('base64url');
  #count = 0;
  #flight: Flight | undefined;
  #next: Flight['waiters'] = [];
  #cancelTimer: Cancel | undefined;
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
    if (this.#flight === undefined) queueMicrotask(() => this.#launch());
    return promise;
  }

  /** The session is over: nothing more can be confirmed. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    for (const resolve of [...(this.#flight?.waiters ?? []), ...this.#next]) resolve(false);
    this.#flight = undefined;
    this.#next = [];
  }

  #launch(): void {
    if (this.#flight !== undefined || this.#next.length === 0) return;
    this.#cancelTimer?.();
    this.#count += 1;
    const flight = { value: `${this.#secret}.${this.#count}`, waiters: this.#next };
    this.#flight = flight;
    this.#next = [];
    const message = { topic: this.#topic, payload: Buffer.from(flight.value), retain: false };
    void this.#session.publish(message).then(({ kind }) => {
      if (kind === 'unanswered' || this.#flight !== flight) return;
      this.#cancelTimer = this.#clock.after(returnMs, () => {
        this.#lose(`nothing came back within ${formatDuration(returnMs)} from`);
      });
    });
  }

  #receive(value: string): void {
    if (this.#flight?.value !== value) return;
    for (const resolve of this.#flight.waiters) resolve(true);
    this.#flight = undefined;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.after(idleMs, () => void this.confirm());
    this.#launch();
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
