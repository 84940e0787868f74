import { randomBytes } from 'node:crypto';
import { inBackground } from '../base/background.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import { formatDuration } from '../base/quantity.ts';
import { CanaryBudget } from './canary-budget.ts';
import type { Session } from './session.ts';
import { deniedHint } from './session-fault.ts';

/** What became of a canary: it came back; the broker dropped it while smaller ones come back; nothing comes back. */
export type Proof = 'passed' | 'too-large' | 'lost';

/** `now`: as soon as one can leave. `thrifty`: when it is worth its bytes, and within ten seconds. */
export type Urgency = 'now' | 'thrifty';

interface Waiter {
  /** Of the packet to be vouched for. */
  bytes: number;
  urgency: Urgency;
  sinceMs: number;
  resolve: (proof: Proof) => void;
}

interface Flight {
  bytes: number;
  payloadBytes: number;
  waiters: Waiter[];
}

/** The echo follows the acknowledgement at once on every broker seen; this is for a slow way back. */
const returnMs = 5000;
/** And longer for what is on the way: a slower connection than 1 kB/s counts as dead. */
const returnMsPerByte = 1;
/** After this long without a publish a canary is sent all the same, so the status soon shows that the ACL refuses us. */
const idleMs = 60_000;
/** A caller waits at most a quarter of a round trip for the next one, however long the delay of the network is. */
const flightsMax = 4;
/** No broker has a limit below this; what is larger and does not come back may have been too large. */
const smallBytes = 128;

/**
 * Proof, which the protocol lacks, that the broker took what it acknowledged: MQTT 3.1.1 brokers acknowledge what
 * their ACL refuses, and what is over their limit of size. A value that no one can know before this session is
 * published under our own root, in a packet no smaller than any that it vouches for, and must come back through a
 * subscription. A canary counts for every caller that asked before it left.
 *
 * A broker keeps the order of a topic [MQTT-4.6.0-6]: a large canary that a small one overtakes was dropped.
 */
export class Canary {
  readonly #session: Pick<Session, 'subscribe' | 'publish' | 'onMessage'>;
  readonly #topic: string;
  readonly #clock: Clock;
  /** In an earlier session. */
  readonly #hasWorked: boolean;
  readonly #onLost: (fault: MerestoneError) => void;
  /** 128 random bits a session: no retained or repeated message of another one can stand in for an answer. */
  readonly #secret = randomBytes(16).toString('base64url');
  /** By value, in the order in which they left. */
  readonly #flights = new Map<string, Flight>();
  /** The deadline of each acknowledged flight, or of the idle time where none is out. */
  readonly #timers = new Map<string, Cancel>();
  readonly #budget = new CanaryBudget();
  #count = 0;
  #next: Waiter[] = [];
  #scheduled = false;
  /** After one that was too large: what else waits is searched by halves. */
  #searching = false;
  #proven = 0;
  #isHasty = false;
  #closed = false;

  /** `onLost` is called once, when a canary did not come back; nothing is confirmed after that. */
  constructor(
    session: Pick<Session, 'subscribe' | 'publish' | 'onMessage'>,
    topic: string,
    clock: Clock,
    onLost: (fault: MerestoneError) => void,
    hasWorked = false,
  ) {
    this.#hasWorked = hasWorked;
    this.#session = session;
    this.#topic = topic;
    this.#clock = clock;
    this.#onLost = onLost;
    session.onMessage = (payload) => this.#receive(payload);
  }

  /** The largest packet that has come back in this session; 0 before the first. */
  get provenBytes(): number {
    return this.#proven;
  }

  /** The largest that is on its way and larger than any that has come back; undefined if there is none. */
  get suspectBytes(): number | undefined {
    const sizes = [...this.#flights.values()].map(({ bytes }) => bytes);
    const largest = Math.max(0, ...sizes);
    return largest > Math.max(this.#proven, smallBytes) ? largest : undefined;
  }

  /** True when the first canary has come back. */
  async begin(): Promise<boolean> {
    const granted = await this.#session.subscribe(this.#topic);
    if (granted) return this.confirm();
    this.#lose('it refuses the subscription to');
    return false;
  }

  /** True when a canary that left after this call has come back; false when none will. */
  async confirm(): Promise<boolean> {
    return (await this.prove(0, 'now')) === 'passed';
  }

  /** As `confirm`, by a canary whose packet has at least this many bytes. */
  prove(bytes: number, urgency: Urgency): Promise<Proof> {
    const { promise, resolve } = Promise.withResolvers<Proof>();
    if (this.#closed) resolve('lost');
    else {
      if (urgency === 'thrifty') this.#budget.earn(bytes);
      this.#next.push({ bytes, urgency, sinceMs: this.#clock.monotonicMs(), resolve });
      this.#schedule();
    }
    return promise;
  }

  /** Proofs that wait for company wait no longer, and none will from now on. */
  proveNow(): void {
    this.#isHasty = true;
    this.#schedule();
  }

  /** The session is over: nothing more can be confirmed. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#timers.values()) cancel();
    const waiters = [...this.#flights.values()].flatMap((flight) => flight.waiters);
    for (const { resolve } of [...waiters, ...this.#next]) resolve('lost');
    this.#timers.clear();
    this.#flights.clear();
    this.#next = [];
  }

  /** What is acknowledged in the same read of the socket shares one canary. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#launch();
    });
  }

  #launch(): void {
    if (this.#next.length === 0) this.#searching = false;
    // The last place is for small ones: they tell what became of the large ones before them.
    const isCrowded = this.#flights.size >= flightsMax - 1;
    const ready = isCrowded ? this.#next.filter(({ bytes }) => bytes <= smallBytes) : this.#next;
    if (this.#closed || ready.length === 0 || this.#flights.size >= flightsMax) return;
    const sizes = ready.map(({ bytes }) => bytes).sort((a, b) => a - b);
    const bytes = sizes.at(this.#searching ? (sizes.length - 1) >> 1 : -1)!;
    const waitMs = this.#waitMs(bytes);
    if (waitMs > 0) return this.#time('thrift', waitMs, () => this.#launch());
    this.#timers.get('thrift')?.();
    const waiters = this.#next.filter((each) => each.bytes <= bytes);
    this.#next = this.#next.filter((each) => each.bytes > bytes);
    this.#send(bytes, waiters);
    if (this.#next.length > 0) this.#launch();
  }

  /** How long the next one may wait for company. */
  #waitMs(bytes: number): number {
    if (this.#isHasty || this.#searching || this.#next.some(({ urgency }) => urgency === 'now')) return 0;
    const waitingBytes = this.#next.reduce((sum, waiter) => sum + waiter.bytes, 0);
    const waitedMs = this.#clock.monotonicMs() - this.#next[0]!.sinceMs;
    return this.#budget.waitMs({ bytes, waitingBytes, waitedMs });
  }

  #send(bytes: number, waiters: Waiter[]): void {
    this.#count += 1;
    const value = `${this.#secret}.${this.#count}`;
    // Longer by a few bytes than the packet it vouches for, in payload and as a whole, for any topic.
    const payload = Buffer.from(value.padEnd(bytes - this.#topic.length, ' '));
    this.#flights.set(value, { bytes, payloadBytes: payload.length, waiters });
    this.#budget.spend(Math.max(bytes, payload.length));
    this.#time('idle', idleMs, () => this.#confirmAgain());
    const published = this.#session
      .publish({ topic: this.#topic, payload, retain: false })
      .then(({ kind }) => {
        if (kind === 'unanswered' || !this.#flights.has(value)) return;
        // A small one behind it tells a large one that was thrown away from a slow way back.
        if (bytes > smallBytes) this.#confirmAgain();
        const waitMs = this.#returnMs();
        this.#time(value, waitMs, () =>
          this.#lose(`nothing came back within ${formatDuration(waitMs)} from`),
        );
      });
    inBackground(published, (error) => this.#lose(`${describeError(error)} at`));
  }

  #confirmAgain(): void {
    inBackground(this.confirm(), (error) => this.#lose(`${describeError(error)} at`));
  }

  #returnMs(): number {
    const outside = [...this.#flights.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return returnMs + (outside > flightsMax * smallBytes ? Math.ceil(outside * returnMsPerByte) : 0);
  }

  #receive(payload: Buffer): void {
    const value = payload.toString('latin1', 0, 64).trimEnd();
    const flight = this.#flights.get(value);
    if (flight === undefined || payload.length !== flight.payloadBytes) return;
    this.#overtake(value, flight.bytes);
    this.#land(value);
    this.#proven = Math.max(this.#proven, flight.bytes, 1);
    for (const { resolve } of flight.waiters) resolve('passed');
    this.#launch();
  }

  /** Larger ones that left before this one and are not back were thrown away. */
  #overtake(value: string, bytes: number): void {
    for (const [earlier, flight] of this.#flights) {
      if (earlier === value) return;
      if (flight.bytes <= Math.max(bytes, smallBytes)) continue;
      this.#land(earlier);
      if (this.#proven >= flight.bytes) this.#proven = 1;
      const isTooLarge = (each: Waiter): boolean => each.bytes >= flight.bytes;
      for (const waiter of flight.waiters.filter(isTooLarge)) waiter.resolve('too-large');
      this.#next.unshift(...flight.waiters.filter((each) => !isTooLarge(each)));
      this.#searching = true;
    }
  }

  #land(value: string): void {
    this.#flights.delete(value);
    this.#timers.get(value)?.();
    this.#timers.delete(value);
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
          hint: deniedHint(root, this.#hasWorked),
          retryable: true,
        },
      ),
    );
  }
}
