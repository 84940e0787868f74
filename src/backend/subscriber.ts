import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type IClientOptions, type IPublishPacket, MqttClient } from 'mqtt';
import { inBackground } from '../base/background.ts';
import { backoffMs } from '../base/backoff.ts';
import type { BrokerAddress } from '../base/broker-url.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { UserProperties } from '../messages/decoding.ts';
import type { Arrival } from './arrival.ts';
import { BrokerDial } from './broker-choice.ts';
import { documentLimits } from '../messages/document-limits.ts';
import { windowMax } from './deliveries.ts';

export interface SubscriberOptions {
  /** Tried in turn. */
  brokers: readonly [BrokerAddress, ...BrokerAddress[]];
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

export interface SubscriberEvents {
  /** A message came; `acknowledge` is to be called when it is safe, in the order of arrival [MQTT-4.6.0-2]. */
  onMessage(arrival: Arrival, acknowledge: () => void): void;
  /** Resolves when another message may come; until then nothing is read. */
  room(): Promise<void>;
  onOnline(): void;
  /** The connection is gone or cannot be made, and is tried again. */
  onWaiting(reason: string): void;
  /** It is over: a fault that trying again does not mend. */
  onFailed(error: unknown): void;
}

const keepaliveSeconds = 60;
/** A node that takes TCP and stays silent is left after this; the wait is told of before. */
const connectMs = 10_000;
const silenceMs = 3000;
const retry = { initialMs: 1000, maxMs: 30_000, jitter: 0.5 };
/** Retained `meta` comes at once after its subscription; its units belong on the first rows. */
const metaHeadStartMs = 300;
/** A reader of our rows that has stopped reading, or a broker that has stopped answering, delays the end by this. */
const closeMs = 3000;

/** Of a PUBLISH beside its payload: topic and properties, of which we need no more. */
const overheadBytesMax = 64 * 1024;

/** The user properties that mean something, each a word or two: others may be as long as they like, and are let go. */
const knownProperties = ['tenant', 'gateway', 'epoch', 'seq', 'content-encoding'] as const;
const propertyTextMax = 256;

/**
 * A subscription whose acknowledgements mean something: a message is acknowledged when it is safe, so that a
 * crash at any moment leaves it with the broker.
 */
export class Subscriber {
  readonly #client: MqttClient;
  readonly #dial: BrokerDial;
  #cancelSilence: (() => void) | undefined;
  readonly #events: SubscriberEvents;
  readonly #topics: { meta: string[]; all: string[] };
  /** Counts connections: an acknowledgement for a message of an earlier one would hit another message's id. */
  #connection = 0;
  #failures = 0;
  #everOnline = false;
  /** Said once, not with every try. */
  #lastReason: string | undefined;
  #over = false;

  constructor(options: SubscriberOptions, events: SubscriberEvents) {
    this.#events = events;
    const roots = options.tenants.length === 0 ? ['t/+/+'] : options.tenants.map((tenant) => `t/${tenant}/+`);
    this.#topics = { meta: roots.map((root) => `${root}/meta`), all: roots.map((root) => `${root}/#`) };
    const { ca, certificate: cert, privateKey: key } = options;
    this.#dial = new BrokerDial(options.brokers, { ca, cert, key });
    this.#client = new MqttClient(() => this.#connect(), clientOptions(options));
    this.#client.handleMessage = (packet, done) => this.#handle(packet, done);
    this.#client.on('connect', () => {
      this.#cancelSilence?.();
      // Acknowledgements are small, and the broker sends no more until it has them.
      (this.#client.stream as Partial<Socket>).setNoDelay?.(true);
      this.#subscribe();
    });
    this.#client.on('close', () => this.#connection++);
    this.#client.on('error', (error) => this.#lost(error));
    this.#client.on('reconnect', () => {
      this.#failures++;
      this.#client.options.reconnectPeriod = backoffMs(this.#failures, retry, Math.random());
    });
  }

  /** Takes no more messages, lets `work` with those in hand end and be acknowledged, and disconnects. */
  async close(work: Promise<void>): Promise<void> {
    this.#over = true;
    this.#cancelSilence?.();
    await within(closeMs, work);
    await within(closeMs, this.#client.endAsync());
    if (!this.#client.disconnected) this.#client.end(true);
    // A connection that was being made meanwhile would be kept until the broker gives it up.
    this.#client.stream.destroy();
  }

  #connect(): TLSSocket {
    const stream = this.#dial.dial();
    stream.once('error', (error) => this.#client.emit('error', error));
    const { current } = this.#dial;
    this.#cancelSilence?.();
    this.#cancelSilence = systemClock.after(silenceMs, () => this.#wait(`${current} does not answer so far`));
    return stream;
  }

  #wait(reason: string): void {
    if (this.#over || reason === this.#lastReason) return;
    this.#lastReason = reason;
    this.#events.onWaiting(reason);
  }

  #handle(packet: IPublishPacket, done: (error?: Error) => void): void {
    // With an error mqtt.js reads on and sends no PUBACK: that is for us to send, when the message is safe.
    const readOn = (): void => done(new Error('acknowledged when it is safe'));
    if (this.#over) return readOn();
    const connection = this.#connection;
    const arrival: Arrival = {
      topic: packet.topic,
      payload: packet.payload as Buffer,
      properties: pickKnown(packet.properties?.userProperties ?? {}),
      again: packet.dup || packet.retain,
    };
    try {
      this.#events.onMessage(arrival, () => this.#acknowledge(packet.messageId, connection));
    } catch (error) {
      return this.#fail(error);
    }
    inBackground(this.#events.room().then(readOn), (error) => this.#fail(error));
  }

  /** On another connection the same packet id is another message's. */
  #acknowledge(packetId: number | undefined, connection: number): void {
    if (packetId === undefined || connection !== this.#connection || !this.#client.connected) return;
    // PUBACK with reason code 0x00, the same on MQTT 3.1.1 and 5 [MQTT5 §3.4.2.1].
    this.#client.stream.write(Buffer.from([0x40, 0x02, packetId >> 8, packetId & 0xff]));
  }

  #subscribe(): void {
    const connection = this.#connection;
    const subscribe = (topics: string[]) => this.#client.subscribeAsync(topics, { qos: 1 });
    subscribe(this.#topics.meta)
      .then(() => sleep(systemClock, metaHeadStartMs))
      .then(async () => {
        if (connection !== this.#connection || this.#over) return undefined;
        // Where subscriptions overlap, brokers may send a message twice (MQTT 5 §3.3.4), and some mistake one for another.
        await this.#client.unsubscribeAsync(this.#topics.meta);
        return subscribe(this.#topics.all);
      })
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
    this.#cancelSilence?.();
    if (hint === undefined) this.#wait(`${this.#dial.current}: ${reason}`);
    if (hint !== undefined) this.#fail(new MerestoneError('BrokerRefused', reason, { hint, cause: error }));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelSilence?.();
    this.#client.end(true);
    this.#events.onFailed(error);
  }
}

function clientOptions(options: SubscriberOptions): IClientOptions {
  const { protocol, clientId, sessionExpirySeconds } = options;
  const persistent = clientId !== undefined;
  const properties = {
    receiveMaximum: windowMax,
    maximumPacketSize: documentLimits.telemetry.bytesMax + overheadBytesMax,
    ...(persistent && { sessionExpiryInterval: sessionExpirySeconds }),
  };
  return {
    protocol: 'mqtts',
    connectTimeout: connectMs,
    protocolVersion: protocol === '5' ? 5 : 4,
    clientId: clientId ?? `merestone-consume-${randomUUID().slice(0, 8)}`,
    clean: !persistent,
    ...(protocol === '5' && { properties }),
    keepalive: keepaliveSeconds,
    reconnectPeriod: retry.initialMs,
    reconnectOnConnackError: true,
    resubscribe: false,
  };
}

function pickKnown(properties: UserProperties): UserProperties {
  const known = knownProperties.flatMap((name) => {
    const value = Object.hasOwn(properties, name) ? properties[name] : undefined;
    return value === undefined ? [] : [[name, String(value).slice(0, propertyTextMax)] as const];
  });
  return Object.fromEntries(known);
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
