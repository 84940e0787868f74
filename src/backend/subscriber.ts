import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type IClientOptions, type IConnackPacket, type IPublishPacket, MqttClient } from 'mqtt';
import { inBackground } from '../base/background.ts';
import { backoffMs } from '../base/backoff.ts';
import type { BrokerAddress } from '../base/broker-url.ts';
import { type Clock, sleep, systemClock } from '../base/clock.ts';
import { keepaliveWithin } from '../base/keepalive.ts';
import { formatDuration } from '../base/quantity.ts';
import type { UserProperties } from '../messages/decoding.ts';
import type { Arrival } from './arrival.ts';
import { BrokerChoice, type Lookup, type NodeFault } from './broker-choice.ts';
import { faultOfConnection, lastingFaultOf } from './broker-fault.ts';
import { RetainedFetch } from './retained-fetch.ts';
import { packetBytesMax } from '../messages/document-limits.ts';
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
  /** Resolves when another message may come, and until then nothing is read; undefined where it may at once. */
  room(): Promise<void> | undefined;
  /** `isResumed`: the broker still had a session of this client id. */
  onOnline(isResumed: boolean): void;
  /** No node listens to us so far; `words` say which one is unwell, how, and what is tried next. */
  onWaiting(words: string): void;
  /** The broker keeps the session for less time than was asked for; what that means and what to do. */
  onShortSession(words: string): void;
  /** It is over: faults that trying again does not mend, at all nodes. */
  onFailed(error: unknown): void;
}

/** From outside for tests. */
export interface SubscriberSeams {
  clock?: Clock;
  lookup?: Lookup;
  keepaliveSeconds?: number;
}

const keepaliveSecondsDefault = 60;
/** A node that says nothing for so long, to TCP, TLS, CONNECT or SUBSCRIBE, is left; a notice reports it before. */
const answerMs = 10_000;
const silenceMs = 3000;
/** Between two nodes of a round there is next to none. */
const nodePauseMs = 100;
const roundPause = { initialMs: 1000, maxMs: 30_000, jitter: 0.5 };
/** Words that are remembered, so as to be said once. */
const saidMax = 100;
/** Retained `meta` comes at once after its subscription; its units belong on the first rows. */
const metaHeadStartMs = 300;
/** A reader of our rows that has stopped reading, or a broker that has stopped answering, delays the end by this. */
const closeMs = 3000;

/** The user properties that mean something, each a word or two: others may be as long as they like, and are let go. */
const knownProperties = ['tenant', 'gateway', 'epoch', 'seq', 'content-encoding'] as const;
const propertyTextMax = 256;

/**
 * A subscription whose acknowledgements mean something: a message is acknowledged when it is safe, so that a
 * crash at any moment leaves it with the broker.
 */
export class Subscriber {
  readonly #client: MqttClient;
  readonly #brokerChoice: BrokerChoice;
  readonly #clock: Clock;
  readonly #keepaliveSeconds: number;
  readonly #events: SubscriberEvents;
  /** Null where nothing is to be kept while we are away. */
  readonly #sessionExpirySeconds: number | null;
  /** What the broker was last said to keep it for instead. */
  #shortSeconds: number | undefined;
  readonly #topics: { meta: string[]; all: string[] };
  readonly #retained: RetainedFetch;
  /** Counts connections: an acknowledgement for a message of an earlier one would hit another message's id. */
  #connection = 0;
  /** The one that was left already: what else goes wrong with it says nothing new. */
  #left = -1;
  #rounds = 0;
  #everOnline = false;
  /** Said once, not with every try. */
  readonly #said = new Set<string>();
  /** What the node has to answer next. */
  #step: 'TCP' | 'TLS' | 'CONNECT' | 'SUBSCRIBE' = 'TCP';
  #cancelTimeout = (): void => {};
  #over = false;

  constructor(options: SubscriberOptions, events: SubscriberEvents, seams: SubscriberSeams = {}) {
    this.#events = events;
    this.#clock = seams.clock ?? systemClock;
    this.#keepaliveSeconds = seams.keepaliveSeconds ?? keepaliveSecondsDefault;
    const roots = options.tenants.length === 0 ? ['t/+/+'] : options.tenants.map((tenant) => `t/${tenant}/+`);
    this.#topics = { meta: roots.map((root) => `${root}/meta`), all: roots.map((root) => `${root}/#`) };
    const { ca, certificate: cert, privateKey: key } = options;
    this.#brokerChoice = new BrokerChoice(options.brokers, { ca, cert, key }, seams.lookup);
    const isKept = options.clientId !== undefined && options.protocol === '5';
    this.#sessionExpirySeconds = isKept ? options.sessionExpirySeconds : null;
    this.#client = new MqttClient(() => this.#connect(), clientOptions(options, this.#keepaliveSeconds));
    this.#client.handleMessage = (packet, done) => this.#handle(packet, done);
    this.#client.on('packetreceive', (packet) => {
      this.#cancelTimeout();
      if (packet.cmd === 'connack') this.#bound(packet);
    });
    this.#retained = new RetainedFetch({
      subscribe: (topics) => this.#client.subscribeAsync(topics, { qos: 1 }),
      unsubscribe: (topics) => this.#client.unsubscribeAsync(topics),
    });
    this.#client.on('connect', ({ sessionPresent }) => {
      this.#retained.begin();
      this.#step = 'SUBSCRIBE';
      this.#beginTimeout();
      // Acknowledgements are small, and the broker sends no more until it has them.
      (this.#client.stream as Partial<Socket>).setNoDelay?.(true);
      this.#subscribe(sessionPresent);
    });
    // Before the client's own, which then begins the pause.
    this.#client.prependListener('close', () => {
      this.#leave({ reason: 'the connection was closed' });
      this.#connection++;
    });
    this.#client.prependListener('error', (error) => this.#leave(this.#faultOf(error)));
  }

  /** Takes no more messages, lets `work` with those in hand end and be acknowledged, and disconnects. */
  async close(work: Promise<void>): Promise<void> {
    this.#over = true;
    this.#cancelTimeout();
    await within(closeMs, work);
    await within(closeMs, this.#client.endAsync());
    if (!this.#client.disconnected) this.#client.end(true);
    // A connection that was being made meanwhile would be kept until the broker gives it up.
    this.#client.stream.destroy();
  }

  #connect(): TLSSocket {
    const stream = this.#brokerChoice.connect();
    // Those without a code are not passed on by the client.
    stream.once('error', (error) => {
      if (this.#client.stream === stream) this.#client.emit('error', error);
    });
    this.#step = 'TCP';
    stream.once('connect', () => (this.#step = 'TLS')).once('secureConnect', () => (this.#step = 'CONNECT'));
    this.#beginTimeout();
    return stream;
  }

  /** What a CONNACK says of times is the broker's word, and the bounds are ours. */
  #bound({ properties }: IConnackPacket): void {
    if (properties?.serverKeepAlive !== undefined)
      properties.serverKeepAlive = keepaliveWithin(properties.serverKeepAlive, this.#keepaliveSeconds);
    const keptSeconds = properties?.sessionExpiryInterval;
    if (keptSeconds === undefined || this.#sessionExpirySeconds === null) return;
    if (keptSeconds >= this.#sessionExpirySeconds || keptSeconds === this.#shortSeconds) return;
    this.#shortSeconds = keptSeconds;
    const [kept, asked] = [keptSeconds, this.#sessionExpirySeconds].map((each) =>
      formatDuration(each * 1000),
    );
    this.#events.onShortSession(
      `${this.#brokerChoice.current} keeps this session for ${kept} while we are away, and was asked for ${asked}: what comes later is lost; raise the broker's limit of session expiry, or be back sooner`,
    );
  }

  /** The node has so long to say something. */
  #beginTimeout(): void {
    this.#cancelTimeout();
    const tell = this.#clock.after(silenceMs, () => {
      this.#say(
        `${this.#brokerChoice.current} does not answer ${this.#step} so far`,
        this.#brokerChoice.next,
      );
    });
    const give = this.#clock.after(answerMs, () => {
      this.#leave({ reason: `no answer to ${this.#step} within ${formatDuration(answerMs)}` });
      this.#client.stream.destroy();
    });
    this.#cancelTimeout = () => {
      tell();
      give();
    };
  }

  /** Which node is unwell and how, and what is tried next. */
  #say(words: string, next: string): void {
    if (this.#over || this.#said.has(words)) return;
    if (this.#said.size >= saidMax) this.#said.clear();
    this.#said.add(words);
    this.#events.onWaiting(
      `${words}; ${next === this.#brokerChoice.current ? 'trying again' : `next is ${next}`}`,
    );
  }

  /** The node of this connection is left for the next one, or given up with all others. */
  #leave(fault: NodeFault): void {
    if (this.#over || this.#left === this.#connection) return;
    this.#left = this.#connection;
    this.#cancelTimeout();
    const { current, next } = this.#brokerChoice;
    const faults = this.#brokerChoice.leave(fault);
    const lasting = faults === undefined ? undefined : lastingFaultOf(faults);
    if (lasting !== undefined) return this.#fail(lasting);
    if (faults !== undefined) this.#rounds++;
    this.#client.options.reconnectPeriod =
      faults === undefined ? nodePauseMs : backoffMs(this.#rounds, roundPause, Math.random());
    const remedy = fault.hint === undefined ? '' : ` (${fault.hint})`;
    this.#say(`${current}: ${fault.reason}${remedy}`, next);
  }

  /** Where it went well before, nothing is as lasting as it looks. */
  #faultOf(error: Error): NodeFault {
    const { reason, ...lasting } = faultOfConnection(error);
    return this.#everOnline ? { reason } : { reason, ...lasting };
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
    this.#retained.heard(packet.topic);
    try {
      this.#events.onMessage(arrival, () => this.#acknowledge(packet.messageId, connection));
    } catch (error) {
      return this.#fail(error);
    }
    const room = this.#events.room();
    if (room === undefined) return readOn();
    inBackground(this.#stayAlive(room).then(readOn), (error) => this.#fail(error));
  }

  /** Who does not read sees no PINGRESP, and would take the broker for dead; the broker wants to hear of us too. */
  async #stayAlive(room: Promise<void>): Promise<void> {
    const over = new AbortController();
    const gone = room.finally(() => over.abort());
    while (!over.signal.aborted) {
      await Promise.race([gone, sleep(systemClock, this.#keepaliveSeconds * 500, over.signal)]);
      if (over.signal.aborted || !this.#client.connected) continue;
      this.#client.sendPing();
      this.#client.reschedulePing(true);
    }
    return gone;
  }

  /** On another connection the same packet id is another message's. */
  #acknowledge(packetId: number | undefined, connection: number): void {
    if (packetId === undefined || connection !== this.#connection || !this.#client.connected) return;
    // PUBACK with reason code 0x00, the same on MQTT 3.1.1 and 5 [MQTT5 §3.4.2.1].
    this.#client.stream.write(Buffer.from([0x40, 0x02, packetId >> 8, packetId & 0xff]));
  }

  #subscribe(isResumed: boolean): void {
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
        this.#cancelTimeout();
        this.#rounds = 0;
        this.#said.clear();
        this.#everOnline = true;
        this.#retained.ready();
        this.#events.onOnline(isResumed);
      })
      .catch((error: unknown) => {
        // Without a SUBACK it is the connection that went away, and that has its own way back.
        if ((error as { packet?: unknown }).packet === undefined) return;
        this.#leave({
          reason: `the broker does not let us read ${this.#topics.all.join(', ')}`,
          hint: "let the backend's certificate read these topics in the broker's access control",
        });
        this.#client.stream.destroy();
      });
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimeout();
    this.#client.end(true);
    this.#events.onFailed(error);
  }
}

function clientOptions(options: SubscriberOptions, keepalive: number): IClientOptions {
  const { protocol, clientId, sessionExpirySeconds } = options;
  const persistent = clientId !== undefined;
  const properties = {
    receiveMaximum: windowMax,
    maximumPacketSize: packetBytesMax,
    ...(persistent && { sessionExpiryInterval: sessionExpirySeconds }),
  };
  return {
    protocol: 'mqtts',
    // Ours ends sooner.
    connectTimeout: 2 * answerMs,
    protocolVersion: protocol === '5' ? 5 : 4,
    clientId: clientId ?? `merestone-consume-${randomUUID().slice(0, 8)}`,
    clean: !persistent,
    ...(protocol === '5' && { properties }),
    keepalive,
    reconnectPeriod: roundPause.initialMs,
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

/** Waits for `work`, but not for ever; no timer outlives it. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  await Promise.race([work, sleep(systemClock, ms, waiting.signal)]);
  waiting.abort();
}
