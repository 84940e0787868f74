import { inBackground } from '../base/background.ts';
import { parseTopic, topicOf, type Channel, type Origin } from '../messages/topic.ts';

export interface ExactSubscriptions {
  /** Resolve when the broker has answered; reject with its `packet` where it refuses, without where it is gone. */
  subscribe(topics: string[]): Promise<unknown>;
  unsubscribe(topics: string[]): Promise<unknown>;
}

/** What the broker keeps of a gateway. */
const kept = ['meta', 'status', 'checkpoint'] as const satisfies readonly Channel[];
/** A broker that hangs up on what we may not subscribe to is not asked for ever. */
const lossesMax = 3;
/** As many as are held in memory; those beyond get along without. */
const gatewaysMax = 10_000;

/**
 * Some brokers (RabbitMQ) give wildcard subscriptions no retained messages. Where a gateway's batches come and its
 * `meta` did not, each of its retained topics is subscribed to by name, once in a connection, and left again.
 */
export class RetainedFetch {
  readonly #broker: ExactSubscriptions;
  /** Of this connection: gateways whose `meta` came or was asked for. */
  readonly #known = new Set<string>();
  readonly #wanted = new Map<string, Origin>();
  #isReady = false;
  /** Connections that ended while the broker was asked, one after the other. */
  #losses = 0;
  /** Counts connections: what an earlier one began is not carried on. */
  #connection = 0;

  constructor(broker: ExactSubscriptions) {
    this.#broker = broker;
  }

  /** A new connection: what is retained may have changed since. */
  begin(): void {
    this.#connection++;
    this.#known.clear();
    this.#wanted.clear();
    this.#isReady = false;
  }

  /** The subscriptions of this connection stand; who was heard since and has no `meta` is asked for. */
  ready(): void {
    this.#isReady = true;
    const connection = this.#connection;
    inBackground(this.#fetch(connection), () => {});
  }

  heard(topic: string): void {
    const place = parseTopic(topic);
    if (place === undefined) return;
    const { tenant, gateway, channel } = place;
    const name = `${tenant}/${gateway}`;
    if (channel === 'meta') this.#known.add(name);
    if (channel !== 'telemetry' || this.#known.has(name) || this.#wanted.has(name)) return;
    if (this.#known.size + this.#wanted.size >= gatewaysMax || this.#losses >= lossesMax) return;
    this.#wanted.set(name, { tenant, gateway });
    if (this.#isReady && this.#wanted.size === 1) this.ready();
  }

  async #fetch(connection: number): Promise<void> {
    // What is added meanwhile is iterated, too.
    for (const [name, origin] of this.#wanted) {
      const isThere = this.#known.has(name) || (await this.#ask(origin));
      if (connection !== this.#connection) return;
      if (!isThere) {
        this.#losses++;
        this.#isReady = false;
        return;
      }
      this.#known.add(name);
      this.#wanted.delete(name);
    }
  }

  /** False where the connection ended. A broker that refuses gives what it would have given without. */
  async #ask(origin: Origin): Promise<boolean> {
    const topics = kept.map((channel) => topicOf(origin, channel));
    try {
      await this.#broker.subscribe(topics);
      await this.#broker.unsubscribe(topics);
    } catch (error) {
      if ((error as { packet?: unknown }).packet === undefined) return false;
    }
    this.#losses = 0;
    return true;
  }
}
