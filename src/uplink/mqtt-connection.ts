import type { TLSSocket } from 'node:tls';
import { MqttClient } from 'mqtt';
import type { MerestoneError } from '../base/error.ts';
import { FrameGuard } from './frame-guard.ts';
import {
  closedFault,
  disconnectFault,
  floodFault,
  type Parties,
  silentFault,
  noBrokerFault,
  unwelcomeFault,
} from './session-fault.ts';

export interface SessionOptions extends Parties {
  keepaliveSeconds: number;
  will: { topic: string; payload: Uint8Array };
}

export interface SessionEnd {
  fault: MerestoneError;
  /** The other side closed it, rather than we or a timeout. */
  closedByPeer: boolean;
  /** Of the broker's DISCONNECT (MQTT 5), where there was one. */
  reasonCode?: number;
}

/**
 * What a broker may send at once: answers, with reasons and properties for people. On MQTT 5 it is told so in CONNECT;
 * on MQTT 3.1.1 our own canaries come back besides, which are as large as we make them.
 */
const incomingBytesMax = 16_384;

/** The mqtt.js client on its socket, and why they parted. */
export class MqttConnection {
  readonly client: MqttClient;
  readonly socket: TLSSocket;
  readonly parties: Parties;
  /** Resolves when the socket has closed. */
  readonly closed: Promise<SessionEnd>;
  welcomed = false;
  readonly #guard = new FrameGuard(incomingBytesMax);
  #isHeard = false;
  #fault: MerestoneError | undefined;
  #closedByPeer = true;
  #error: Error | undefined;
  #reasonCode: number | undefined;

  constructor(socket: TLSSocket, options: SessionOptions) {
    this.socket = socket;
    this.parties = options;
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.closed = promise;
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.once('close', () => resolve(this.#end()));
    // Before the parser, which would collect a packet of 256 MB until it is whole.
    socket.on('data', (bytes) => {
      if (!this.#isHeard && !mayAnswerConnect(bytes)) this.hangUp(noBrokerFault(bytes, this.parties));
      this.#isHeard = true;
      const tooLarge = this.#guard.tooLarge(bytes);
      if (tooLarge !== undefined) this.hangUp(floodFault(tooLarge, this.parties));
    });
    this.client = new MqttClient(() => socket, clientOptions(options));
    this.client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'disconnect') return;
      this.#reasonCode ??= packet.reasonCode ?? 0;
      const { serverReference } = packet.properties ?? {};
      this.#fault ??= disconnectFault(this.#reasonCode, this.parties, serverReference);
      // [MQTT5 3.14.4]; mqtt.js would wait for the broker to do it.
      socket.destroy();
    });
    this.client.on('error', (error) => {
      // mqtt.js has no other sign for it.
      const silent = error.message === 'Keepalive timeout';
      if (silent) this.hangUp(silentFault('it no longer answers', this.parties));
      this.#error ??= error;
      socket.destroy();
    });
  }

  /** A packet of this size may come from now on. */
  expect(bytes: number): void {
    this.#guard.allow(bytes);
  }

  /** Ends it from this side, for this reason, unless it is over for another one already. */
  hangUp(fault: MerestoneError, close: () => unknown = () => this.socket.destroy()): void {
    if (this.#fault === undefined && this.#error === undefined) this.#closedByPeer = false;
    this.#fault ??= fault;
    close();
  }

  #end(): SessionEnd {
    const end = { fault: this.#explain(), closedByPeer: this.#closedByPeer };
    return this.#reasonCode === undefined ? end : { ...end, reasonCode: this.#reasonCode };
  }

  #explain(): MerestoneError {
    if (this.#fault !== undefined) return this.#fault;
    return this.welcomed ? closedFault(this.#error, this.parties) : unwelcomeFault(this.#error, this.parties);
  }
}

/** CONNACK, DISCONNECT or AUTH, by the upper half of the first byte [MQTT5 2.1.2]. */
function mayAnswerConnect(bytes: Buffer): boolean {
  return [2, 14, 15].includes(bytes[0]! >> 4);
}

/** Nothing is subscribed to on MQTT 5; a broker that sends all the same need not have much in flight. */
const receiveMaximum = 16;

function clientOptions(options: SessionOptions): MqttClient['options'] {
  const { protocol, clientId, keepaliveSeconds, will } = options;
  const json = { contentType: 'application/json', payloadFormatIndicator: true };
  return {
    protocolVersion: protocol === '5' ? 5 : 4,
    clientId,
    clean: true,
    keepalive: keepaliveSeconds,
    timerVariant: 'native',
    // BrokerConnection connects again by itself, each time with a new client.
    reconnectPeriod: 0,
    resubscribe: false,
    // BrokerConnection has its own, shorter deadline.
    connectTimeout: 120_000,
    will: {
      topic: will.topic,
      payload: will.payload as Buffer,
      qos: 1,
      retain: true,
      ...(protocol === '5' && { properties: json }),
    },
    ...(protocol === '5' && {
      properties: { sessionExpiryInterval: 0, maximumPacketSize: incomingBytesMax, receiveMaximum },
    }),
  };
}
