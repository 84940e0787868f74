import { randomUUID } from 'node:crypto';
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { backoffMs } from '../base/backoff.ts';
import type { BrokerAddress } from '../base/broker-url.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { UserProperties } from '../stream/decoding.ts';

export interface SubscriberOptions {
  broker: BrokerAddress;
  /** PEM: the CA of the broker, and our own certificate and key. */
  ca: Buffer;
  certificate: Buffer;
  privateKey: Buffer;
  protocol: '5' | '3.1.1';
  /** Tenants to listen to; empty: all that the broker lets us. */
  tenants: readonly string[];
  /** A fixed client id makes the session persistent: the broker keeps what comes while we are away. */
  clientId?: string;
  sessionExpirySeconds: number;
}

export interface Arrival {
  topic: string;
  payload: Buffer;
  properties: UserProperties;
  /**
   * It is the broker that sends it again: it had no acknowledgement the first time [MQTT-3.3.1-1], or has it
   * retained [MQTT-3.3.1-8], and a broker that crashed may have an older one than it had before.
   */
  again: boolean;
}

export interface SubscriberEvents {
  /** Resolves when the message may be acknowledged; its rejection ends the subscription. */
  take(arrival: Arrival): Promise<void>;
  onOnline(): void;
  /** The connection is gone or cannot be made, and is tried again. */
  onWaiting(reason: string): void;
  /** It is over: a fault that trying again does not mend. */
  onFailed(error: unknown): void;
}

const keepaliveSeconds = 60;
const retry = { initialMs: 1000, maxMs: 30_000, jitter: 0.5 };
/** Retained `meta` comes at once after its subscription; its units belong on the first rows. */
const metaHeadStartMs = 300;
/** A reader of our rows that has stopped reading, or a broker that has stopped answering, delays the end by this. */
const closeMs = 3000;

/**
 * A subscription whose acknowledgements mean something: a message is acknowledged when `take` has
 * resolved, one after the other, so that a crash at any moment leaves it with the broker.
 */
export class Subscriber {
  readonly #client: MqttClient;
  readonly #events: SubscriberEvents;
  readonly #topics: { meta: string[]; all: string[] };
  /** Counts connections: an acknowledgement for a message of an earlier one would hit another message's id. */
  #connection = 0;
  #failures = 0;
  #everOnline = false;
  /** Said once, not with every try. */
  #lastReason: string | undefined;
  #over = false;
  #work: Promise<void> = Promise.resolve();

  constructor(options: SubscriberOptions, events: SubscriberEvents) {
    this.#events = events;
    const roots = options.tenants.length === 0 ? ['t/+/+'] : options.tenants.map((tenant) => `t/${tenant}/+`);
    this.#topics = { meta: roots.map((root) => `${root}/meta`), all: roots.map((root) => `${root}/#`) };
    this.#client = connect(clientOptions(options));
    this.#client.handleMessage = (packet, done) => this.#handle(packet, done);
    this.#client.on('connect', () => this.#subscribe());
    this.#client.on('close', () => this.#connection++);
    this.#client.on('error', (error) => this.#lost(error));
    this.#client.on('reconnect', () => {
      this.#failures++;
      this.#client.options.reconnectPeriod = backoffMs(this.#failures, retry, Math.random());
    });
  }

  /** Lets the message in hand be written and acknowledged, takes no more, and disconnects. */
  async close(): Promise<void> {
    this.#over = true;
    await within(closeMs, this.#work);
    await within(closeMs, this.#client.endAsync());
    if (!this.#client.disconnected) this.#client.end(true);
  }

  /** mqtt.js sends the PUBACK when `acknowledge` is called, unless with an error; until then it reads no further. */
  #handle(packet: IPublishPacket, acknowledge: (error?: Error) => void): void {
    const connection = this.#connection;
    const isStale = (): boolean => this.#over || connection !== this.#connection;
    const arrival: Arrival = {
      topic: packet.topic,
      payload: packet.payload as Buffer,
      properties: packet.properties?.userProperties ?? {},
      again: packet.dup || packet.retain,
    };
    const settle = async (): Promise<Error | undefined> => {
      if (isStale()) return new Error('not taken');
      await this.#events.take(arrival);
      return connection === this.#connection ? undefined : new Error('taken, but its connection is gone');
    };
    // One after the other also over a reconnect, which brings the message again that is still in hand.
    this.#work = this.#work
      .then(settle)
      .then(acknowledge)
      .catch((error: unknown) => this.#fail(error));
  }

  #subscribe(): void {
    const connection = this.#connection;
    const subscribe = (topics: string[]) => this.#client.subscribeAsync(topics, { qos: 1 });
    subscribe(this.#topics.meta)
      .then(() => sleep(systemClock, metaHeadStartMs))
      .then(() => (connection === this.#connection && !this.#over ? subscribe(this.#topics.all) : undefined))
      .then((granted) => {
        if (granted === undefined) return;
        this.#failures = 0;
        this.#lastReason = undefined;
        this.#everOnline = true;
        this.#events.onOnline();
      })
      .catch((error: unknown) => {
        // Without a SUBACK it is the connection that went away, and that has its own way back.
        if ((error as { packet?: unknown }).packet === undefined) return;
        const topics = this.#topics.all.join(', ');
        this.#fail(
          new MerestoneError('BrokerRefused', `the broker does not let us read ${topics}`, {
            hint: "let the backend's certificate read these topics in the broker's access control",
            cause: error,
          }),
        );
      });
  }

  #lost(error: Error): void {
    if (this.#over) return;
    const hint = this.#everOnline ? undefined : lastingFault((error as { code?: unknown }).code);
    const reason = describeError(error);
    if (hint === undefined && reason !== this.#lastReason) this.#events.onWaiting(reason);
    this.#lastReason = reason;
    if (hint !== undefined) this.#fail(new MerestoneError('BrokerRefused', reason, { hint, cause: error }));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#client.end(true);
    this.#events.onFailed(error);
  }
}

function clientOptions(options: SubscriberOptions): IClientOptions {
  const { broker, ca, certificate, privateKey, protocol, clientId, sessionExpirySeconds } = options;
  const persistent = clientId !== undefined;
  const expiry = persistent ? { properties: { sessionExpiryInterval: sessionExpirySeconds } } : {};
  return {
    protocol: 'mqtts',
    host: broker.host,
    port: broker.port,
    ca,
    cert: certificate,
    key: privateKey,
    rejectUnauthorized: true,
    protocolVersion: protocol === '5' ? 5 : 4,
    clientId: clientId ?? `merestone-consume-${randomUUID().slice(0, 8)}`,
    clean: !persistent,
    ...(protocol === '5' && expiry),
    keepalive: keepaliveSeconds,
    reconnectPeriod: retry.initialMs,
    reconnectOnConnackError: true,
    resubscribe: false,
  };
}

/** What to do about a fault that a first connection meets and that time does not mend; undefined for others. */
function lastingFault(code: unknown): string | undefined {
  if (typeof code === 'number') {
    // MQTT 5 §3.2.2.2 and 3.1.1 §3.2.2.3: server unavailable, busy, or asked to go elsewhere for now.
    if ([3, 0x88, 0x89, 0x9c, 0x9f].includes(code)) return undefined;
    return "let the backend's certificate connect in the broker's configuration";
  }
  if (typeof code !== 'string') return undefined;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'use a name in --url that stands in the broker’s certificate';
  if (/^ERR_(SSL|OSSL|TLS)_/.test(code))
    return 'check --certificate, --private-key and --ca against the broker’s own';
  if (/CERT|SELF_SIGNED|ISSUER|SIGNATURE/.test(code))
    return 'check --ca: it must have issued the broker’s certificate';
  return undefined;
}

/** Waits for `work`, but not for ever; no timer outlives it. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  await Promise.race([work, sleep(systemClock, ms, waiting.signal)]);
  waiting.abort();
}
