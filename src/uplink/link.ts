import { type BackoffOptions, backoffMs } from '../base/backoff.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { describeError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { formatDuration } from '../base/quantity.ts';
import { type Origin, topicOf } from '../stream/topic.ts';
import { Canary } from './canary.ts';
import { dial, type UplinkCredentials } from './dial.ts';
import { type LinkEvent, type LinkState, transition } from './lifecycle.ts';
import type { UplinkOptions } from './options.ts';
import { type Answer, type Message, openSession, type Session } from './session.ts';
import { deniedFault, type Parties, silentFault } from './session-fault.ts';
import { type BrokerTarget, parseTarget } from './target.ts';
import type { SessionEnd, SessionOptions } from './wire.ts';

/** What became of a publish, proof included. */
export type Verdict =
  | Extract<Answer, { kind: 'answered' }>
  /** The session ended first, with so many publishes unproven; whether the broker, or the network, closed it. */
  | { kind: 'unanswered'; outstanding: number; closedByPeer: boolean };

export interface LinkDependencies {
  clock: Clock;
  logger: Logger;
  /** Payload of the will. */
  lastWords(): Uint8Array;
  /** Publishes the status by `send`; false where the session ended before the answer. */
  announce(online: boolean, send: (message: Message) => Promise<Verdict>): Promise<boolean>;
  onReady(session: Session): void;
  onLost(): void;
}

/** For DNS, TCP, TLS and CONNACK together, and as long again for the first acknowledgement. */
const stepMs = 30_000;
/** Half a minute after a broker is back at the latest, the gateway is too; a fleet of 1,000 makes 45 handshakes a second. */
const backoff: BackoffOptions = { initialMs: 500, maxMs: 30_000, jitter: 0.5 };
/** For what is in flight when the credentials are renewed. */
const renewalMs = 5000;
/** Of a stop's deadline, for the goodbye of the session itself. */
const goodbyeMs = 1000;

/** Keeps a session with the broker for as long as it lives: connects, proves, waits, renews, ends. */
export class Link {
  readonly target: BrokerTarget;
  readonly #options: UplinkOptions;
  readonly #origin: Origin;
  readonly #dependencies: LinkDependencies;
  #credentials: UplinkCredentials;
  #state: LinkState = { kind: 'connecting', failures: 0, reason: null };
  #sinceWallMs: number;
  #sinceMs: number;
  /** Since when there has been no session, in whatever state. */
  #offlineSinceMs: number;
  #connects = 0;
  #attempt: AbortController | undefined;
  #session: Session | undefined;
  /** MQTT 3.1.1 only: MQTT 5 says by reason code what it refuses. */
  #canary: Canary | undefined;
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
    origin: Origin,
    credentials: UplinkCredentials,
    dependencies: LinkDependencies,
  ) {
    this.target = parseTarget(options.url);
    this.#options = options;
    this.#origin = origin;
    this.#credentials = credentials;
    this.#dependencies = dependencies;
    this.#sinceWallMs = dependencies.clock.wallMs();
    this.#sinceMs = dependencies.clock.monotonicMs();
    this.#offlineSinceMs = this.#sinceMs;
    void this.#connect();
  }

  get state(): LinkState {
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
    return this.#bytesSentBefore + (this.#session?.bytesSent ?? 0);
  }

  /** Answered only when the broker has provably seen to it. Never rejects. */
  async publish(message: Message): Promise<Verdict> {
    const session = this.#session;
    const canary = this.#canary;
    if (this.#state.kind !== 'online' || session === undefined) {
      return { kind: 'unanswered', outstanding: 0, closedByPeer: false };
    }
    this.#outstanding += 1;
    try {
      const answer = await session.publish(message);
      const proven = canary === undefined || (answer.kind === 'answered' && (await canary.confirm()));
      if (answer.kind === 'answered' && proven) return answer;
      await session.ended;
      return { kind: 'unanswered', ...this.#fate };
    } finally {
      this.#outstanding -= 1;
      if (this.#outstanding === 0) this.#onDrained();
    }
  }

  replaceCredentials(credentials: UplinkCredentials): void {
    this.#credentials = credentials;
    this.#leaveMs = renewalMs;
    this.#apply({ kind: 'renewed' });
  }

  stop(deadlineMs: number): Promise<void> {
    this.#leaveMs = Math.max(0, deadlineMs - goodbyeMs);
    this.#apply({ kind: 'stopped' });
    return this.#closed.promise;
  }

  #apply(event: LinkEvent): void {
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

  #enter(state: LinkState): void {
    const session = this.#session;
    switch (state.kind) {
      case 'connecting':
        void this.#connect();
        break;
      case 'proving':
        if (session !== undefined) void this.#prove(session);
        break;
      case 'online':
        if (session !== undefined) this.#dependencies.onReady(session);
        break;
      case 'waiting':
        this.#pause(backoffMs(state.failures, backoff, Math.random()));
        break;
      case 'ending':
        if (session !== undefined) void this.#leave(session);
        break;
      case 'closed':
        this.#attempt?.abort();
        this.#closed.resolve();
        break;
    }
  }

  #pause(pauseMs: number): void {
    this.#cancelPause = this.#dependencies.clock.after(pauseMs, () => this.#apply({ kind: 'paused' }));
  }

  async #connect(): Promise<void> {
    const { clock } = this.#dependencies;
    this.#attempt?.abort();
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancel = clock.after(stepMs, () => {
      attempt.abort(silentFault(`it does not answer within ${formatDuration(stepMs)}`, this.#parties()));
    });
    try {
      const socket = await dial(this.target, this.#options, this.#credentials, attempt.signal);
      const session = await openSession(socket, this.#sessionOptions(), clock);
      attempt.signal.throwIfAborted();
      this.#attempt = undefined;
      this.#adopt(session);
    } catch (error) {
      const { aborted, reason } = attempt.signal;
      if (this.#attempt === attempt) this.#lose(aborted ? reason : error);
    } finally {
      cancel();
    }
  }

  #adopt(session: Session): void {
    this.#session = session;
    this.#connects += 1;
    if (this.#options.protocol === '3.1.1') {
      const topic = topicOf(this.#origin, 'canary');
      this.#canary = new Canary(session, topic, this.#dependencies.clock, (fault) => session.abort(fault));
    }
    session.onEnded = (end) => this.#release(session, end);
    this.#apply({ kind: 'connected' });
  }

  #release(session: Session, { fault, closedByPeer }: SessionEnd): void {
    // MQTT 5 would have said so in its PUBACK.
    const denied = this.#canary !== undefined && this.#state.kind === 'proving' && closedByPeer;
    this.#fate = { outstanding: this.#outstanding, closedByPeer };
    this.#session = undefined;
    this.#canary?.close();
    this.#canary = undefined;
    this.#bytesSentBefore += session.bytesSent;
    this.#lose(denied ? deniedFault(fault, this.#origin, this.#parties()) : fault);
  }

  /** Until the broker has acknowledged our status, and on MQTT 3.1.1 sent a canary back, nothing else goes out. */
  async #prove(session: Session): Promise<void> {
    const { clock } = this.#dependencies;
    const cancel = clock.after(stepMs, () => {
      session.abort(
        silentFault(`it does not acknowledge ${topicOf(this.#origin, 'status')}`, this.#parties()),
      );
    });
    const writable = this.#canary === undefined || (await this.#canary.begin());
    const announced = writable && (await this.#announce(session, true));
    cancel();
    if (announced && this.#session === session) this.#apply({ kind: 'proved', atMs: clock.monotonicMs() });
  }

  /** What is in flight settles, the status says offline, DISCONNECT: all under the deadline. */
  async #leave(session: Session): Promise<void> {
    const { clock } = this.#dependencies;
    const { promise: overdue, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(this.#leaveMs, resolve);
    const drained = new Promise<void>((settle) => {
      this.#onDrained = settle;
      if (this.#outstanding === 0) settle();
    });
    const finished = drained.then(() => this.#announce(session, false));
    await Promise.race([finished, overdue]);
    cancel();
    await session.leave();
  }

  #lose(error: unknown): void {
    const { clock, logger } = this.#dependencies;
    const before = this.#state;
    const reason = describeError(error);
    this.#apply({ kind: 'lost', atMs: clock.monotonicMs(), reason });
    if (this.#state.kind !== 'waiting') return;
    // A broker may be away for weeks: its absence is one line, not one for each attempt.
    const known = 'reason' in before && before.reason === reason;
    logger[known ? 'debug' : 'warn']('uplink lost', { reason, failures: this.#state.failures });
  }

  #announce(session: Session, online: boolean): Promise<boolean> {
    return this.#dependencies.announce(online, async (message) => {
      const answer = await session.publish(message);
      return answer.kind === 'answered' ? answer : { kind: 'unanswered', ...this.#fate };
    });
  }

  #parties(): Parties {
    return { target: this.target, protocol: this.#options.protocol, clientId: this.#origin.gateway };
  }

  #sessionOptions(): SessionOptions {
    const will = { topic: topicOf(this.#origin, 'status'), payload: this.#dependencies.lastWords() };
    return { ...this.#parties(), keepaliveSeconds: this.#options.keepaliveSeconds, will };
  }
}
