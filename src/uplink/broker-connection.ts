import { inBackground } from '../base/background.ts';
import { type BackoffOptions, backoffMs } from '../base/backoff.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { formatDuration } from '../base/quantity.ts';
import { type OwnedOrigin, topicOf } from '../messages/topic.ts';
import { Brokers, type Candidate, type Lookup } from './broker-list.ts';
import { connectTls, type UplinkCredentials } from './tls-connect.ts';
import { type ConnectionEvent, type ConnectionState, transition } from './connection-state.ts';
import type { UplinkOptions } from './options.ts';
import { type Delivered, ProvenSession } from './proven-session.ts';
import { type Message, openSession, type Session } from './session.ts';
import { type Parties, refusingFault, shortFault, silentFault } from './session-fault.ts';
import { ShortSessions } from './short-sessions.ts';
import { SizeLimit } from './size-limit.ts';
import type { BrokerTarget } from './broker-target.ts';
import type { SessionEnd, SessionOptions } from './mqtt-connection.ts';

/** What became of a publish, proof included. */
export type ConnectResult =
  | Exclude<Delivered, { kind: 'unanswered' }>
  /** The session ended first, with this many publishes unproven; whether the broker, or the network, closed it. */
  | { kind: 'unanswered'; outstanding: number; closedByPeer: boolean };

export interface BrokerConnectionDependencies {
  clock: Clock;
  logger: Logger;
  /** The system's where undefined. */
  lookup: Lookup | undefined;
  /** Published by the broker where the session is lost. */
  will(): Pick<Message, 'topic' | 'payload'>;
  /** Publishes the status by `send`; false where the session ended before the answer. */
  announce(online: boolean, send: (message: Message) => Promise<ConnectResult>): Promise<boolean>;
  onReady(session: Session): void;
  onLost(): void;
  /** How large a message may be was learned or forgotten. */
  onSizeLimit: () => void;
}

/** For TCP, TLS and CONNECT together, and as long again for the first acknowledgement. */
const stepMs = 30_000;
/** The same, where another address can be tried instead. */
const addressMs = 15_000;
/** Half a minute after a broker is back at the latest, the gateway is too; a fleet of 1,000 makes 45 handshakes a second. */
const backoff: BackoffOptions = { initialMs: 500, maxMs: 30_000, jitter: 0.5 };
/** For what is in flight when the credentials are renewed. */
const renewalMs = 5000;
/** Of a stop's deadline, for the goodbye of the session itself. */
const goodbyeMs = 1000;

/** Keeps a session with the broker for as long as it lives: connects, proves, waits, renews, ends. */
export class BrokerConnection {
  readonly #options: UplinkOptions;
  readonly #origin: OwnedOrigin;
  readonly #dependencies: BrokerConnectionDependencies;
  readonly #brokers: Brokers;
  /** Where the session is, or is being tried for. */
  #candidate: Candidate | undefined;
  #credentials: UplinkCredentials;
  #state: ConnectionState = { kind: 'connecting', failures: 0, reason: null };
  #sinceWallMs: number;
  #sinceMs: number;
  /** Since when there has been no session, in any state. */
  #offlineSinceMs: number;
  #connects = 0;
  #attempt: AbortController | undefined;
  #proven: ProvenSession | undefined;
  #retainAvailable: boolean | null = null;
  /** Something was taken in this session, its status apart. */
  #useful = false;
  /** Something was refused in this session. */
  #denied = false;
  /** In this session or an earlier one. */
  #hasWorked = false;
  readonly #shortSessions = new ShortSessions();
  /** Outlives the sessions that it was learned in. */
  readonly #sizes = new SizeLimit();
  #cancelPause: Cancel | undefined;
  #outstanding = 0;
  /** Of what was outstanding when the last session ended. */
  #fate = { outstanding: 0, closedByPeer: false };
  #onDrained = (): void => {};
  #leaveMs = renewalMs;
  #bytesSentBefore = 0;
  readonly #closed = Promise.withResolvers<void>();

  /** Throws ConfigInvalid where `options.url` is no address of a broker. */
  constructor(
    options: UplinkOptions,
    origin: OwnedOrigin,
    credentials: UplinkCredentials,
    dependencies: BrokerConnectionDependencies,
  ) {
    this.#brokers = new Brokers([options.url].flat(), options.ca, dependencies.lookup);
    this.#options = options;
    this.#origin = origin;
    this.#credentials = credentials;
    this.#dependencies = dependencies;
    this.#sinceWallMs = dependencies.clock.wallMs();
    this.#sinceMs = dependencies.clock.monotonicMs();
    this.#offlineSinceMs = this.#sinceMs;
    this.#inBackground(this.#connect());
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Since when in this state, ms since 1970 UTC. */
  get sinceWallMs(): number {
    return this.#sinceWallMs;
  }

  /** For how long it has been in this state. */
  get forMs(): number {
    return Math.round(this.#dependencies.clock.monotonicMs() - this.#sinceMs);
  }

  /** For how long there has been no session that takes publishes; null while there is one. */
  get offlineMs(): number | null {
    if (this.#state.kind === 'online') return null;
    return Math.round(this.#dependencies.clock.monotonicMs() - this.#offlineSinceMs);
  }

  get connects(): number {
    return this.#connects;
  }

  /** Publishes without a proven answer. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** MQTT's own, without what TLS adds, over all sessions. */
  get bytesSent(): number {
    return this.#bytesSentBefore + (this.#proven?.session.bytesSent ?? 0);
  }

  /** The broker that is connected to, or was tried last. */
  get target(): BrokerTarget {
    return this.#candidate ?? this.#brokers.targets[0];
  }

  /** Whether the broker keeps retained messages, as its last CONNACK said. */
  get retainAvailable(): boolean | null {
    return this.#retainAvailable;
  }

  /** How large a message may be. */
  get sizes(): SizeLimit {
    return this.#sizes;
  }

  /**
   * Answered only when the broker has provably seen to it; `acknowledged` is called before, when the broker has said
   * so. Never rejects.
   */
  async publish(message: Message, acknowledged: () => void = () => {}): Promise<ConnectResult> {
    const proven = this.#proven;
    if (this.#state.kind !== 'online' || proven === undefined) {
      return { kind: 'unanswered', outstanding: 0, closedByPeer: false };
    }
    this.#outstanding += 1;
    try {
      const delivered = await proven.deliver(message, 'thrifty', acknowledged);
      if (delivered.kind === 'answered' && delivered.reasonCode < 0x80 && !message.retain)
        this.#useful = true;
      this.#noteDenial(delivered);
      if (delivered.kind !== 'unanswered') return delivered;
      await proven.session.ended;
      return { kind: 'unanswered', ...this.#fate };
    } finally {
      this.#outstanding -= 1;
      if (this.#outstanding === 0) this.#onDrained();
    }
  }

  /** The broker does not take a message of this size, as the caller has found out. */
  tooLarge(bytes: number): void {
    this.#proven?.tooLarge(bytes);
  }

  replaceCredentials(credentials: UplinkCredentials): void {
    this.#credentials = credentials;
    this.#apply({ kind: 'renewed' });
  }

  /** What is in flight settles, the session is left, and none is tried until `replaceCredentials`. */
  hold(reason: string): void {
    this.#apply({ kind: 'held', reason });
  }

  stop(deadlineMs: number): Promise<void> {
    this.#leaveMs = Math.max(0, deadlineMs - goodbyeMs);
    this.#apply({ kind: 'stopped' });
    return this.#closed.promise;
  }

  #apply(event: ConnectionEvent): void {
    const before = this.#state;
    const after = transition(before, event);
    if (after === before) return;
    this.#state = after;
    this.#sinceWallMs = this.#dependencies.clock.wallMs();
    this.#sinceMs = this.#dependencies.clock.monotonicMs();
    if (before.kind === 'online') this.#offlineSinceMs = this.#sinceMs;
    this.#cancelPause?.();
    if (before.kind === 'online') this.#dependencies.onLost();
    this.#enter(after);
  }

  #enter(state: ConnectionState): void {
    const proven = this.#proven;
    switch (state.kind) {
      case 'connecting':
        this.#inBackground(this.#connect());
        break;
      case 'proving':
        if (proven !== undefined) this.#inBackground(this.#prove(proven));
        break;
      case 'online':
        if (proven !== undefined) this.#dependencies.onReady(proven.session);
        break;
      case 'waiting':
        this.#pause(backoffMs(state.failures, backoff, Math.random()));
        break;
      case 'ending':
        if (proven !== undefined) this.#inBackground(this.#leave(proven));
        break;
      case 'held':
      case 'closed':
        this.#attempt?.abort();
        if (state.kind === 'closed') this.#closed.resolve();
        break;
    }
  }

  /** What goes wrong in it ends the session, and the next one is tried after a pause. */
  #inBackground(work: Promise<void>): void {
    inBackground(work, (error) => {
      const fault = new MerestoneError('UplinkClosed', describeError(error), {
        retryable: true,
        cause: error,
      });
      if (this.#proven === undefined) this.#lose(fault);
      else this.#proven.session.abort(fault);
    });
  }

  /** As the session's; undefined without a session. */
  async retained(topic: string, waitMs: number): Promise<Buffer | undefined> {
    return this.#proven?.session.retained(topic, waitMs);
  }

  #pause(pauseMs: number): void {
    this.#cancelPause = this.#dependencies.clock.after(pauseMs, () => this.#apply({ kind: 'paused' }));
  }

  /** One round: every address of every broker, until one welcomes us. */
  async #connect(): Promise<void> {
    this.#attempt?.abort();
    const attempt = new AbortController();
    this.#attempt = attempt;
    try {
      const session = await this.#brokers.connect(
        (candidate) => this.#open(candidate, attempt.signal),
        attempt.signal,
      );
      attempt.signal.throwIfAborted();
      this.#attempt = undefined;
      this.#adopt(session);
    } catch (error) {
      if (this.#attempt === attempt) this.#lose(error);
    }
  }

  /** TCP, TLS and CONNECT at one address, within its time. */
  async #open(candidate: Candidate, signal: AbortSignal): Promise<Session> {
    const { clock } = this.#dependencies;
    this.#candidate = candidate;
    const overdue = new AbortController();
    const waitMs = candidate.hasAlternatives ? addressMs : stepMs;
    const fault = silentFault(`it does not answer within ${formatDuration(waitMs)}`, this.#parties());
    const cancel = clock.after(waitMs, () => overdue.abort(fault));
    const either = AbortSignal.any([signal, overdue.signal]);
    try {
      const socket = await connectTls(candidate, this.#options, this.#credentials, clock, either);
      return await openSession(socket, this.#sessionOptions(), clock);
    } catch (error) {
      throw overdue.signal.aborted ? fault : error;
    } finally {
      cancel();
    }
  }

  #adopt(session: Session): void {
    const { clock, onSizeLimit } = this.#dependencies;
    const parties = this.#parties();
    const proven = new ProvenSession(session, {
      origin: this.#origin,
      parties,
      clock,
      sizes: this.#sizes,
      onSizeLimit,
    });
    this.#proven = proven;
    this.#retainAvailable = session.retainAvailable;
    this.#useful = false;
    this.#denied = false;
    this.#connects += 1;
    session.onEnded = (end) => this.#release(proven, end);
    this.#apply({ kind: 'connected' });
  }

  #release(proven: ProvenSession, end: SessionEnd): void {
    this.#fate = { outstanding: this.#outstanding, closedByPeer: end.closedByPeer };
    this.#proven = undefined;
    this.#bytesSentBefore += proven.session.bytesSent;
    const fault = proven.end(end, this.#state.kind === 'proving');
    if (this.#candidate !== undefined) this.#brokers.left(this.#candidate, this.#useful);
    this.#lose(this.#isShort(end) ? this.#explainShort(fault) : fault);
  }

  #explainShort(fault: MerestoneError): MerestoneError {
    const root = `${topicOf(this.#origin, 'status').replace(/[^/]+$/, '')}#`;
    return this.#denied ? refusingFault(fault, root, this.#parties()) : shortFault(fault, this.#parties());
  }

  #isShort(end: SessionEnd): boolean {
    if (this.#state.kind !== 'online') return false;
    return this.#shortSessions.isRow(end, this.#dependencies.clock.monotonicMs() - this.#state.sinceMs);
  }

  /** Until the broker has acknowledged our status, and on MQTT 3.1.1 sent a canary back, nothing else goes out. */
  async #prove(proven: ProvenSession): Promise<void> {
    const { clock } = this.#dependencies;
    const cancel = clock.after(stepMs, () => {
      proven.session.abort(
        silentFault(`it does not acknowledge ${topicOf(this.#origin, 'status')}`, this.#parties()),
      );
    });
    const announced = (await proven.begin()) && (await this.#announce(proven, true));
    cancel();
    if (announced) this.#hasWorked = true;
    if (announced && this.#proven === proven) this.#apply({ kind: 'proved', atMs: clock.monotonicMs() });
  }

  /** What is in flight settles, the status says offline, DISCONNECT: all under the deadline. */
  async #leave(proven: ProvenSession): Promise<void> {
    const { clock } = this.#dependencies;
    const { promise: overdue, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(this.#leaveMs, resolve);
    const drained = new Promise<void>((settle) => {
      this.#onDrained = settle;
      if (this.#outstanding === 0) settle();
    });
    proven.proveNow();
    const finished = drained.then(() => this.#announce(proven, false));
    await Promise.race([finished, overdue]);
    cancel();
    await proven.session.leave();
  }

  #lose(error: unknown): void {
    const { clock, logger } = this.#dependencies;
    const before = this.#state;
    const reason = describeError(error);
    this.#apply({ kind: 'lost', atMs: clock.monotonicMs(), reason, useless: !this.#useful });
    if (this.#state.kind !== 'waiting') return;
    // A broker may be away for weeks: its absence is one line, not one for each attempt.
    const known = 'reason' in before && before.reason === reason;
    logger[known ? 'debug' : 'warn']('uplink lost', { reason, failures: this.#state.failures });
  }

  #announce(proven: ProvenSession, online: boolean): Promise<boolean> {
    return this.#dependencies.announce(online, async (message) => {
      const delivered = await proven.deliver(message, 'now');
      this.#noteDenial(delivered);
      return delivered.kind === 'unanswered' ? { kind: 'unanswered', ...this.#fate } : delivered;
    });
  }

  #noteDenial(delivered: Delivered): void {
    if (delivered.kind === 'answered' && delivered.reasonCode >= 0x80) this.#denied = true;
  }

  #parties(): Parties {
    const { protocol } = this.#options;
    return { target: this.target, protocol, clientId: this.#origin.gateway, hasWorked: this.#hasWorked };
  }

  #sessionOptions(): SessionOptions {
    const { topic, payload } = this.#dependencies.will();
    const will = { topic, payload };
    return { ...this.#parties(), keepaliveSeconds: this.#options.keepaliveSeconds, will };
  }
}
