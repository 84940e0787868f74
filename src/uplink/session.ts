import type { TLSSocket } from 'node:tls';
import type { IClientPublishOptions, IConnackPacket, IPublishPacket, Packet } from 'mqtt';
import { inBackground } from '../base/background.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { keepaliveWithin } from '../base/keepalive.ts';
import { formatDuration } from '../base/quantity.ts';
import type { MerestoneError } from '../base/error.ts';
import { packetBytes } from './mqtt-message.ts';
import { closedFault, connackFault, qosFault, silentFault } from './session-fault.ts';
import { type SessionEnd, type SessionOptions, MqttConnection } from './mqtt-connection.ts';

export interface Message {
  topic: string;
  payload: Uint8Array;
  retain: boolean;
  /** MQTT 5 only. */
  properties?: NonNullable<IClientPublishOptions['properties']>;
}

export type Answer =
  /** PUBACK; MQTT 3.1.1 knows no reason code but 0. */
  | { kind: 'answered'; reasonCode: number; roundTripMs: number }
  /** The session ended first. */
  | { kind: 'unanswered' };

/**
 * No broker thinks for this long over one message; a slower connection counts as dead. It also ends the
 * wait for an answer that a broker never means to give.
 */
const answerMs = 300_000;
/** What comes back is as large as what was sent. */
const echoSlackBytes = 64;
/** A retained message follows the SUBACK at once; a congested network may take this long between the two. */
const retainedMs = 500;
/** For DISCONNECT and the TLS goodbye. */
const goodbyeMs = 1000;
/** MQTT 3.1.1 has no receive maximum; packet ids set the limit. */
const receiveMaximumDefault = 65_535;

/**
 * One MQTT session over one connection, from CONNECT to its end: it starts clean, keeps nothing for a next one, and
 * never sends anything twice. Each mqtt.js client lives as long as its session, and its store with it.
 */
export class Session {
  readonly receiveMaximum: number;
  readonly packetBytesMax: number | undefined;
  /** Null where the protocol does not say. */
  readonly retainAvailable: boolean | null;
  /** Resolves when the session is over; never rejects. */
  readonly ended: Promise<SessionEnd>;
  onMessage: (payload: Buffer) => void = () => {};
  /** Called once, before what is outstanding is told that it stays unanswered. */
  onEnded: (end: SessionEnd) => void = () => {};

  readonly #mqttConnection: MqttConnection;
  readonly #clock: Clock;
  readonly #pending = new Map<
    number,
    { sentAtMs: number; bytes: number; settle: (answer: Answer) => void }
  >();
  /** Over the broker's receive maximum; the caller's window bounds it. */
  readonly #waiting: (() => void)[] = [];
  #ended = false;
  #cancelWatch: Cancel | undefined;

  constructor(mqttConnection: MqttConnection, connack: IConnackPacket, clock: Clock) {
    this.#mqttConnection = mqttConnection;
    this.#clock = clock;
    // 0 is against the protocol [MQTT5 3.2.2.3.3]; we would wait for ever.
    this.receiveMaximum = Math.max(1, connack.properties?.receiveMaximum ?? receiveMaximumDefault);
    this.packetBytesMax = connack.properties?.maximumPacketSize;
    // Absent means that it keeps them [MQTT5 3.2.2.3.5].
    this.retainAvailable =
      mqttConnection.parties.protocol === '5' ? connack.properties?.retainAvailable !== false : null;
    mqttConnection.client.on('packetreceive', (packet) => this.#receive(packet));
    mqttConnection.client.on('message', (_topic, payload) => this.onMessage(payload));
    this.ended = mqttConnection.closed.then((end) => this.#finish(end));
  }

  /** MQTT's own bytes, without what TLS adds. */
  get bytesSent(): number {
    return this.#mqttConnection.socket.bytesWritten;
  }

  /** Of the publishes that are not answered, the largest packet; 0 if there are none. */
  get largestUnanswered(): number {
    return Math.max(0, ...[...this.#pending.values()].map(({ bytes }) => bytes));
  }

  /** QoS 1. Never rejects. */
  publish(message: Message): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const send = (): void => {
      if (this.#ended) return resolve({ kind: 'unanswered' });
      const bytes = packetBytes(message);
      if (this.#mqttConnection.parties.protocol === '3.1.1')
        this.#mqttConnection.expect(bytes + echoSlackBytes);
      const { topic, payload, properties } = message;
      // Where the broker keeps none, it must not be asked to [MQTT5 3.2.2.3.5].
      const retain = message.retain && this.retainAvailable !== false;
      const { client } = this.#mqttConnection;
      const options = { qos: 1, retain, ...(properties && { properties }) } as const;
      client.publish(topic, payload as Buffer, options, () => {});
      const sentAtMs = this.#clock.monotonicMs();
      this.#pending.set(client.getLastMessageId(), {
        sentAtMs,
        bytes,
        settle: resolve,
      });
      if (this.#cancelWatch === undefined) this.#watch();
    };
    if (this.#pending.size < this.receiveMaximum) send();
    else this.#waiting.push(send);
    return promise;
  }

  /** QoS 1. Whether the broker granted it; false also where the session ended first. */
  subscribe(topic: string): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#mqttConnection.client.subscribe(topic, { qos: 1 }, (error) => resolve(error === null));
    return promise;
  }

  /**
   * What the broker keeps at one of our own topics; undefined where that is nothing, or not ours to read, or did not
   * come in time. Never rejects.
   */
  async retained(topic: string, waitMs: number): Promise<Buffer | undefined> {
    const { client } = this.#mqttConnection;
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    const hear = (from: string, payload: Buffer, packet: IPublishPacket): void => {
      if (from === topic && packet.retain) resolve(payload);
    };
    const cancel = this.#clock.after(waitMs, () => resolve(undefined));
    let cancelRest: Cancel = () => {};
    client.on('message', hear);
    inBackground(
      Promise.race([this.subscribe(topic), this.ended.then(() => false)]).then((granted) => {
        if (!granted) return resolve(undefined);
        // The broker sends what it keeps right after it has granted the subscription.
        cancelRest = this.#clock.after(retainedMs, () => resolve(undefined));
      }),
      () => resolve(undefined),
    );
    const payload = await promise;
    cancel();
    cancelRest();
    client.off('message', hear);
    if (!this.#ended) client.unsubscribe(topic, () => {});
    return payload;
  }

  /** Says goodbye where nothing is outstanding (no will then), else just hangs up. Resolves when it is over. */
  async leave(): Promise<void> {
    if (this.#ended) return;
    const fault = closedFault(undefined, this.#mqttConnection.parties);
    if (this.#pending.size > 0) this.abort(fault);
    else this.#mqttConnection.hangUp(fault, () => this.#mqttConnection.client.end());
    const cancel = this.#clock.after(goodbyeMs, () => this.#mqttConnection.socket.destroy());
    await this.ended;
    cancel();
  }

  /** Hangs up; the broker publishes the will. */
  abort(fault: MerestoneError): void {
    this.#mqttConnection.hangUp(fault);
  }

  #receive(packet: Packet): void {
    if (packet.cmd !== 'puback') return;
    // mqtt.js reports 0x10 as plain success, so the packet itself is asked.
    const pending = this.#pending.get(packet.messageId ?? 0);
    if (pending === undefined) return;
    this.#pending.delete(packet.messageId ?? 0);
    const roundTripMs = this.#clock.monotonicMs() - pending.sentAtMs;
    pending.settle({ kind: 'answered', reasonCode: packet.reasonCode ?? 0, roundTripMs });
    // mqtt.js frees the packet id when it has handled this packet.
    if (this.#waiting.length > 0) queueMicrotask(() => this.#waiting.shift()?.());
  }

  /** One timer watches the oldest publish; the map keeps them in order of sending. */
  #watch(): void {
    const [oldest] = this.#pending.values();
    this.#cancelWatch = undefined;
    if (oldest === undefined) return;
    const leftMs = oldest.sentAtMs + answerMs - this.#clock.monotonicMs();
    if (leftMs > 0) {
      this.#cancelWatch = this.#clock.after(leftMs, () => this.#watch());
    } else {
      const what = `it did not answer a publish within ${formatDuration(answerMs)}`;
      this.abort(silentFault(what, this.#mqttConnection.parties));
    }
  }

  #finish(end: SessionEnd): SessionEnd {
    this.#ended = true;
    this.#cancelWatch?.();
    this.onEnded(end);
    for (const { settle } of this.#pending.values()) settle({ kind: 'unanswered' });
    this.#pending.clear();
    for (const send of this.#waiting.splice(0)) send();
    return end;
  }
}

/**
 * CONNECT and CONNACK on a fresh TLS connection, which from here on belongs to the session. Rejects with a
 * MerestoneError where the broker does not welcome us.
 */
export async function openSession(
  socket: TLSSocket,
  options: SessionOptions,
  clock: Clock,
): Promise<Session> {
  const mqttConnection = new MqttConnection(socket, options);
  const { promise, resolve, reject } = Promise.withResolvers<Session>();
  let connack: IConnackPacket | undefined;
  mqttConnection.client.on('packetreceive', (packet) => {
    if (packet.cmd !== 'connack' || connack !== undefined) return;
    connack = packet;
    boundKeepalive(packet, options.keepaliveSeconds);
    const code = packet.reasonCode ?? packet.returnCode ?? 0;
    const { serverReference } = packet.properties ?? {};
    if (code !== 0) mqttConnection.hangUp(connackFault(code, options, serverReference));
    else if (packet.properties?.maximumQoS === 0) mqttConnection.hangUp(qosFault(options));
    else mqttConnection.welcomed = true;
  });
  // A moment after the CONNACK, when mqtt.js has found that its store is empty and takes publishes.
  mqttConnection.client.once('connect', () => {
    if (mqttConnection.welcomed && connack !== undefined)
      resolve(new Session(mqttConnection, connack, clock));
  });
  inBackground(
    mqttConnection.closed.then(({ fault }) => reject(fault)),
    reject,
  );
  return promise;
}

/** In place, for mqtt.js goes by what the packet says. */
function boundKeepalive({ properties }: IConnackPacket, keepaliveSeconds: number): void {
  if (properties?.serverKeepAlive === undefined) return;
  properties.serverKeepAlive = keepaliveWithin(properties.serverKeepAlive, keepaliveSeconds);
}
