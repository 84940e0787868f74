import type { Clock } from '../base/clock.ts';
import type { Lookup } from './broker-list.ts';
import type { Logger } from '../base/logger.ts';
import type { UplinkStatus } from '../status/status.ts';
import { type Channel, type OwnedOrigin, topicOf } from '../messages/topic.ts';
import type { UplinkCredentials } from './tls-connect.ts';
import type { ConnectionState } from './connection-state.ts';
import { BrokerConnection, type ConnectResult } from './broker-connection.ts';
import { messageOf, packetBytes } from './mqtt-message.ts';
import type { UplinkOptions } from './options.ts';
import { describeReasonCode, noMatchingSubscribers, success } from './reason-code.ts';
import type { Message, Session } from './session.ts';

/*
 * The MQTT session of one silo: it delivers messages and says which of them the broker has really taken.
 *
 * Invariants
 *  1. `accepted` means that the broker acknowledged the message and that this can be believed: on MQTT 5 by its reason
 *     code, on MQTT 3.1.1 by a canary that left later and came back (canary.ts). No other outcome proves delivery.
 *  2. `publish` never rejects, and every call gets exactly one outcome, over lost sessions and `stop` too.
 *  3. No packet is sent over the limit that the broker announced, and none over a limit that was found out, until that
 *     is due to be tried again (size-limit.ts).
 *  4. The status names the fault of the last attempt until a session works (connection-state.ts).
 *
 * The silo's forwarder, its event forwarder and its chain signer call it (src/silo/tenant).
 */
export type { UplinkCredentials } from './tls-connect.ts';

export interface PublishRequest {
  channel: Channel;
  payload: Uint8Array;
  retain?: boolean;
  contentType?: string;
  contentEncoding?: 'zstd';
  userProperties?: Record<string, string>;
}

export type PublishOutcome =
  /** The broker has taken it, which is proved: it may leave the spool. */
  | { kind: 'accepted' }
  /** PUBACK 0x10: it reached the broker, and no client subscribes to it. */
  | { kind: 'no-subscribers' }
  | { kind: 'refused'; reasonCode: number; reason: string }
  /** Over what the broker takes, be that announced or found out. `wasSent`: by this very message. */
  | { kind: 'too-large'; bytesMax: number; wasSent?: true }
  /**
   * The session ended before an answer: it may have arrived or not. `outstanding`: publishes that shared this fate;
   * if it is 1 and `closedByPeer` each time, the broker closes the connection because of this message.
   */
  | { kind: 'unsettled'; outstanding: number; closedByPeer: boolean };

/** Of whole MQTT packets; Infinity where there is no limit. */
export interface SizeLimits {
  bytesMax: number;
  /** What new batches should keep to: less than `bytesMax` where a limit was found and is not known to the byte. */
  batchBytesMax: number;
}

export interface UplinkEvents {
  /** Publishes are taken. `inflightMax`: no more of them at once; `packetBytesMax`: the broker's limit, if any. */
  onReady(limits: { inflightMax: number; packetBytesMax: number | undefined }): void;
  /** How large a message may be, as far as is known: before the first `onReady`, and whenever it changes. */
  onSizeLimit?(limit: SizeLimits): void;
  /** No more are taken until the next `onReady`. Called before the outcomes of what was in flight come. */
  onLost(): void;
}

export interface Uplink {
  /**
   * Never rejects. Several may be in flight; the caller keeps to `inflightMax`. `acknowledged` is called where the
   * broker has answered and the proof that it tells the truth is still to come: the message is in flight no more.
   */
  publish(request: PublishRequest, acknowledged?: () => void): Promise<PublishOutcome>;
  /** A telemetry message of this size ended session after session: the broker does not take it. */
  tooLarge(request: PublishRequest): void;
  /**
   * What the broker keeps at one of our own topics, where it says so within `waitMs`. A broker may end the session
   * where that is not ours to read. Never rejects.
   */
  retained(channel: Channel, waitMs: number): Promise<Uint8Array | undefined>;
  readonly ready: boolean;
  status(): UplinkStatus;
  /** Ends the session once what is in flight has settled, and tries none until `replaceCredentials`. */
  hold(reason: string): void;
  /** Connects again with these, once what is in flight has settled. */
  replaceCredentials(credentials: UplinkCredentials): void;
  /** Lets what is in flight settle, says goodbye, and is closed when it resolves, after `deadlineMs` at the latest. */
  stop(deadlineMs: number): Promise<void>;
}

export interface UplinkDependencies {
  clock: Clock;
  logger: Logger;
  /** The system's where left out. */
  lookup?: Lookup;
}

/** What the uplink says of itself at the edges of a session. */
export interface UplinkDocuments {
  birth(): PublishRequest;
  will(): PublishRequest;
}

/**
 * Connects at once, and tries again until `stop`. Throws ConfigInvalid where `options.url` is no `mqtts` address;
 * the status names every other fault.
 */
export function startUplink(
  options: UplinkOptions,
  origin: OwnedOrigin,
  credentials: UplinkCredentials,
  documents: UplinkDocuments,
  events: UplinkEvents,
  dependencies: UplinkDependencies,
): Uplink {
  return new MqttUplink(options, origin, credentials, documents, events, dependencies);
}

const unretained =
  'the broker keeps no retained messages, so who subscribes later misses status, meta and checkpoint; switch them on';

/** Share of a new round trip in the smoothed one, as TCP has it (RFC 6298 §2). */
const smoothing = 1 / 8;

class MqttUplink implements Uplink {
  readonly #options: UplinkOptions;
  readonly #origin: OwnedOrigin;
  readonly #documents: UplinkDocuments;
  readonly #connection: BrokerConnection;
  readonly #logger: Logger;
  readonly #batches = { published: 0, accepted: 0, refused: 0, noSubscribers: 0 };
  /** What the broker does not take, by channel, until it takes it. */
  readonly #complaints = new Map<Channel, string>();
  #keepsRetained = true;
  #roundTripMs: number | null = null;
  #lastAnswer: UplinkStatus['lastAnswer'] = null;

  constructor(
    options: UplinkOptions,
    origin: OwnedOrigin,
    credentials: UplinkCredentials,
    documents: UplinkDocuments,
    events: UplinkEvents,
    { clock, logger, lookup }: UplinkDependencies,
  ) {
    this.#options = options;
    this.#origin = origin;
    this.#documents = documents;
    this.#logger = logger;
    this.#connection = new BrokerConnection(options, origin, credentials, {
      clock,
      logger,
      lookup,
      will: () => messageOf(documents.will(), origin, options.protocol),
      announce: (online, send) => this.#announce(online, send),
      onReady: (session) => {
        logger.info('uplink online', { broker: this.#connection.target.name, protocol: options.protocol });
        this.#noteRetain(session.retainAvailable !== false);
        events.onReady(this.#limits(session));
      },
      onLost: () => events.onLost(),
      onSizeLimit: () => {
        const { bytesMax, batchBytesMax } = this.#connection.sizes;
        events.onSizeLimit?.({ bytesMax, batchBytesMax });
      },
    });
  }

  get ready(): boolean {
    return this.#connection.state.kind === 'online';
  }

  async publish(request: PublishRequest, acknowledged?: () => void): Promise<PublishOutcome> {
    const message = messageOf(request, this.#origin, this.#options.protocol);
    const fits = packetBytes(message) <= this.#connection.sizes.bytesMax;
    if (request.channel === 'telemetry' && this.ready && fits) this.#batches.published += 1;
    return this.#conclude(request, await this.#connection.publish(message, acknowledged));
  }

  tooLarge(request: PublishRequest): void {
    this.#connection.tooLarge(packetBytes(messageOf(request, this.#origin, this.#options.protocol)));
  }

  hold(reason: string): void {
    this.#connection.hold(reason);
  }

  replaceCredentials(credentials: UplinkCredentials): void {
    this.#connection.replaceCredentials(credentials);
  }

  retained(channel: Channel, waitMs: number): Promise<Uint8Array | undefined> {
    return this.#connection.retained(topicOf(this.#origin, channel), waitMs);
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#connection.stop(deadlineMs);
  }

  status(): UplinkStatus {
    const { state, target, sinceWallMs, forMs, offlineMs, connects, outstanding, bytesSent, sizes } =
      this.#connection;
    const reasons = [
      ...this.#complaints.values(),
      this.#keepsRetained ? null : unretained,
      'reason' in state ? state.reason : null,
    ];
    return {
      state: shownState(state),
      reason: reasons.filter((reason) => reason !== null).join('; ') || null,
      broker: target.name,
      protocol: this.#options.protocol,
      since: sinceWallMs,
      forMs,
      offlineMs,
      lastAnswer: this.#lastAnswer,
      connects,
      batches: { ...this.#batches },
      inflight: outstanding,
      roundTripMs: this.#roundTripMs,
      packetBytesMax: finite(sizes.bytesMax),
      oversizeBatches: 0, // the forwarder counts them
      retainAvailable: this.#connection.retainAvailable,
      bytesSent,
    };
  }

  #limits(session: Session): { inflightMax: number; packetBytesMax: number | undefined } {
    const inflightMax = Math.min(this.#options.inflightMax, session.receiveMaximum);
    return { inflightMax, packetBytesMax: session.packetBytesMax };
  }

  async #announce(online: boolean, send: (message: Message) => Promise<ConnectResult>): Promise<boolean> {
    const request = online ? this.#documents.birth() : this.#documents.will();
    const verdict = await send(messageOf(request, this.#origin, this.#options.protocol));
    return this.#conclude(request, verdict).kind !== 'unsettled';
  }

  #conclude(request: PublishRequest, verdict: ConnectResult): PublishOutcome {
    if (verdict.kind === 'unanswered') return { ...verdict, kind: 'unsettled' };
    if (verdict.kind === 'too-large') {
      this.#note(request.channel, verdict);
      return verdict;
    }
    const previous = this.#roundTripMs ?? verdict.roundTripMs;
    this.#roundTripMs = previous + smoothing * (verdict.roundTripMs - previous);
    const outcome = this.#judge(request, verdict.reasonCode);
    this.#note(request.channel, outcome);
    return outcome;
  }

  #judge({ retain }: PublishRequest, reasonCode: number): PublishOutcome {
    if (reasonCode === success) return { kind: 'accepted' };
    if (reasonCode !== noMatchingSubscribers) {
      return { kind: 'refused', reasonCode, reason: describeReasonCode(reasonCode) };
    }
    // The broker itself keeps a retained message for later subscribers.
    const kept = retain === true || this.#options.noSubscribers === 'accept';
    return { kind: kept ? 'accepted' : 'no-subscribers' };
  }

  #note(channel: Channel, outcome: PublishOutcome): void {
    const telemetry = channel === 'telemetry';
    const topic = topicOf(this.#origin, channel);
    if (telemetry && outcome.kind !== 'unsettled') this.#lastAnswer = outcome.kind;
    switch (outcome.kind) {
      case 'accepted':
        this.#complaints.delete(channel);
        if (telemetry) this.#batches.accepted += 1;
        break;
      case 'refused':
        this.#complain(channel, `the broker refuses ${topic}: ${outcome.reason}`);
        if (telemetry) this.#batches.refused += 1;
        break;
      case 'no-subscribers':
        this.#complain(channel, `nobody subscribes to ${topic}, so it is kept here`);
        if (telemetry) this.#batches.noSubscribers += 1;
        break;
      case 'too-large':
        // Of batches the forwarder tells: it knows which ones wait.
        if (!telemetry)
          this.#complain(
            channel,
            `${topic} is larger than the broker takes (${outcome.bytesMax} bytes); raise its limit`,
          );
        break;
      case 'unsettled':
        break;
    }
  }

  #noteRetain(keeps: boolean): void {
    if (!keeps && this.#keepsRetained) this.#logger.warn('not kept', { reason: unretained });
    this.#keepsRetained = keeps;
  }

  /** One line in the log for each new complaint, however often it is repeated. */
  #complain(channel: Channel, complaint: string): void {
    if (this.#complaints.get(channel) !== complaint) this.#logger.warn('not accepted', { reason: complaint });
    this.#complaints.set(channel, complaint);
  }
}

function shownState(state: ConnectionState): UplinkStatus['state'] {
  return state.kind === 'ending' ? state.next : state.kind;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
