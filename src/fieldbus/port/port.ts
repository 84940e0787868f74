import { inBackground } from '../../base/background.ts';
import { backoffMs } from '../../base/backoff.ts';
import { type Cancel, type Clock, sleep } from '../../base/clock.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import type { Logger } from '../../base/logger.ts';
import type { Holder } from './port-holder.ts';
import { PortLog } from './port-log.ts';
import { OpenPeriod } from './open-period.ts';

/**
 * `idle`: closed by us without traffic, or by the peer after a useful connection; it opens again for the next request.
 */
export type PortState =
  | { kind: 'opening' }
  | { kind: 'open' }
  | { kind: 'idle'; byPeer?: boolean }
  | { kind: 'lost'; reason: string }
  | { kind: 'closed' };

export type PortEvent =
  | { kind: 'opened' }
  | { kind: 'failed'; reason: string }
  | { kind: 'idled'; byPeer?: boolean }
  /** It is replaced by a new one, and was not lost. */
  | { kind: 'renewed' }
  | { kind: 'wanted' }
  | { kind: 'retried' }
  | { kind: 'closed' };

/** The whole lifecycle of a port; an event without meaning in a state leaves the state as it is. */
export function nextPortState(state: PortState, event: PortEvent): PortState {
  if (state.kind === 'closed') return state;
  switch (event.kind) {
    case 'opened':
      return state.kind === 'opening' ? { kind: 'open' } : state;
    case 'failed':
      return state.kind === 'opening' || state.kind === 'open'
        ? { kind: 'lost', reason: event.reason }
        : state;
    case 'idled':
      return state.kind === 'open' ? { kind: 'idle', byPeer: event.byPeer ?? false } : state;
    case 'renewed':
      return state.kind === 'open' ? { kind: 'opening' } : state;
    case 'wanted':
      return state.kind === 'idle' ? { kind: 'opening' } : state;
    case 'retried':
      return state.kind === 'lost' ? { kind: 'opening' } : state;
    case 'closed':
      return { kind: 'closed' };
  }
}

/** Why nothing can be sent or received. */
export function offlineReason(state: PortState): string {
  return state.kind === 'lost' ? state.reason : `the port is ${state.kind}`;
}

/** An open line or connection. A channel that has ended is discarded; the port opens another. */
export interface Channel {
  /** Throws where the bytes can't be taken. */
  write(bytes: Uint8Array): void;
  /** What has arrived since the last call; never waits. */
  read(): Uint8Array;
  /** Asks for one `readable` event as soon as there is something to read. */
  watch(): void;
  setBaudRate(baudRate: number): Promise<void>;
  /** Another process that has the line open; absent for channels without one. */
  findSharer?(): Promise<Holder | null>;
  close(): Promise<void>;
}

export interface ChannelEvents {
  readable(): void;
  ended(reason: string): void;
}

/** Opens the real thing, or a test's; rejects with a message that a technician can act on. */
export type OpenChannel = (events: ChannelEvents, signal: AbortSignal) => Promise<Channel>;

/** A byte pipe that comes back: lost ones are reopened with growing pauses until it is closed. */
export interface Port {
  readonly state: PortState;
  onState(listener: (state: PortState) => void): Cancel;
  /** Throws PortUnavailable where the port isn't open. */
  write(bytes: Uint8Array): void;
  /** Bytes that have arrived and were not yet read; empty if the port isn't open. Never waits. */
  read(): Uint8Array;
  /** Calls back once when there is something to read. A new call replaces the last. */
  onReadable(callback: () => void): Cancel;
  setBaudRate(baudRate: number): Promise<void>;
  /** Opens an idle port. */
  wake(): void;
  /** A valid frame came on the connection: from now on it counts as working. */
  proveUseful(): void;
  /** An answer was taken: closes the connection if its peer is known to close it after one answer. */
  endTurn(): void;
  /** Connections in a row with requests and without a useful answer. */
  readonly uselessConnections: number;
  /** Which other process has the line open, in words; null if none is seen. It walks through /proc. */
  findSharer(): Promise<string | null>;
  /** The reason to give for an end of this connection from now on; null: the system's. */
  suspect(reason: string | null): void;
  /** Opens another connection in place of this one, at once. */
  renew(reason: string): void;
  /** Discards the connection and opens another: for a byte stream that can't be parsed any more. */
  reset(reason: string): void;
  close(): Promise<void>;
}

export interface PortDependencies {
  clock: Clock;
  logger: Logger;
  /** Close when nothing was written for this long; 0: never. Called each time. */
  idleCloseMs?: () => number;
  /** Pause between opening and the first byte. */
  connectDelayMs?: number;
  /**
   * True: a connection that the peer may close. After a useful connection that is no fault, and the next request opens
   * it again. False: a line, whose end means that it is lost.
   */
  isConnection?: boolean;
  random?: () => number;
}

/** An adapter that was put back is in use again within 5 s; an endpoint that is down costs 12 tries a minute. */
const reopenPause = { initialMs: 250, maxMs: 5000, jitter: 0.2 };

const nothing = new Uint8Array(0);

export function createPort(openChannel: OpenChannel, dependencies: PortDependencies): Port {
  return new ReopeningPort(openChannel, dependencies);
}

class ReopeningPort implements Port {
  readonly #openChannel: OpenChannel;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #idleCloseMs: () => number;
  readonly #random: () => number;
  readonly #isConnection: boolean;
  readonly #log: PortLog;
  readonly #session: OpenPeriod;
  readonly #listeners = new Set<(state: PortState) => void>();
  readonly #aborter = new AbortController();
  #state: PortState = { kind: 'opening' };
  #channel: Channel | null = null;
  #failures = 0;
  #cancelRetry: Cancel = () => {};
  #cancelIdle: Cancel = () => {};
  #waiting: (() => void) | null = null;
  #usedAt = 0;
  #suspicion: string | null = null;
  #dropped = Promise.resolve();

  constructor(openChannel: OpenChannel, dependencies: PortDependencies) {
    const { clock, logger, connectDelayMs = 0, isConnection = false } = dependencies;
    this.#openChannel = openChannel;
    this.#clock = clock;
    this.#logger = logger;
    this.#idleCloseMs = dependencies.idleCloseMs ?? (() => 0);
    this.#random = dependencies.random ?? Math.random;
    this.#isConnection = isConnection;
    this.#log = new PortLog(logger, clock, isConnection);
    this.#session = new OpenPeriod(isConnection, connectDelayMs);
    this.#beginToOpen();
  }

  get state(): PortState {
    return this.#state;
  }

  get uselessConnections(): number {
    return this.#session.useless;
  }

  onState(listener: (state: PortState) => void): Cancel {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  write(bytes: Uint8Array): void {
    if (this.#channel === null || this.#state.kind !== 'open') {
      throw new MerestoneError('PortUnavailable', offlineReason(this.#state), { retryable: true });
    }
    this.#usedAt = this.#clock.monotonicMs();
    this.#session.asked();
    try {
      this.#channel.write(bytes);
    } catch (error) {
      const reason = describeError(error);
      this.#end(reason);
      throw new MerestoneError('PortUnavailable', reason, { retryable: true, cause: error });
    }
  }

  read(): Uint8Array {
    return this.#channel?.read() ?? nothing;
  }

  onReadable(callback: () => void): Cancel {
    this.#waiting = callback;
    this.#channel?.watch();
    return () => {
      if (this.#waiting === callback) this.#waiting = null;
    };
  }

  async setBaudRate(baudRate: number): Promise<void> {
    await this.#channel?.setBaudRate(baudRate);
  }

  wake(): void {
    this.#enter({ kind: 'wanted' });
  }

  proveUseful(): void {
    if (this.#state.kind !== 'open') return;
    const isNew = !this.#session.isUseful;
    this.#session.proved();
    if (!isNew) return;
    this.#worked();
    this.#log.opened();
  }

  endTurn(): void {
    if (this.#session.isOneShot && this.#session.isUseful) this.#enter({ kind: 'idled', byPeer: true });
  }

  async findSharer(): Promise<string | null> {
    const holder = await this.#channel?.findSharer?.().catch(() => null);
    return holder ? `process ${holder.pid} (${holder.command}) has the port open as well` : null;
  }

  suspect(reason: string | null): void {
    this.#suspicion = reason;
  }

  renew(reason: string): void {
    this.#logger.debug('port renewed', { reason });
    this.#enter({ kind: 'renewed' });
  }

  reset(reason: string): void {
    this.#enter({ kind: 'failed', reason });
  }

  async close(): Promise<void> {
    this.#aborter.abort();
    this.#enter({ kind: 'closed' });
    this.#listeners.clear();
    await this.#dropped;
  }

  #enter(event: PortEvent): void {
    const before = this.#state;
    const state = nextPortState(before, event);
    this.#state = state;
    if (state === before) return;
    this.#cancelRetry();
    this.#cancelIdle();
    if (state.kind !== 'open' && this.#channel !== null) {
      if (this.#session.ended(this.#clock.monotonicMs())) this.#worked();
      this.#dropped = this.#dropChannel();
    }
    if (state.kind === 'opening') this.#beginToOpen();
    if (state.kind === 'lost') this.#retryLater(state.reason);
    if (state.kind === 'open') this.#entered();
    for (const listener of this.#listeners) listener(this.#state);
  }

  #retryLater(reason: string): void {
    this.#log.lost(reason);
    this.#failures += 1;
    const pause = backoffMs(this.#failures, reopenPause, this.#random());
    this.#cancelRetry = this.#clock.after(pause, () => this.#enter({ kind: 'retried' }));
  }

  #entered(): void {
    this.#log.opened();
    inBackground(this.#reportSharer(), (error) =>
      this.#logger.debug('port sharer', { reason: describeError(error) }),
    );
    this.#watchIdle();
    if (this.#waiting) this.#channel?.watch();
  }

  #worked(): void {
    this.#failures = 0;
    this.#log.worked();
  }

  /** The channel has ended by itself. */
  #end(reason: string): void {
    this.#enter(
      this.#isConnection && this.#session.isUseful
        ? { kind: 'idled', byPeer: true }
        : { kind: 'failed', reason: this.#suspicion ?? reason },
    );
  }

  async #reportSharer(): Promise<void> {
    const sharer = await this.findSharer();
    if (sharer !== null) this.#log.shared(sharer);
  }

  async #dropChannel(): Promise<void> {
    const ended = this.#channel;
    this.#channel = null;
    await ended?.close().catch((error: unknown) => {
      this.#logger.debug('port close', { reason: describeError(error) });
    });
  }

  #beginToOpen(): void {
    inBackground(this.#open(), (error) => this.#enter({ kind: 'failed', reason: describeError(error) }));
  }

  async #open(): Promise<void> {
    let ended: string | null = null;
    let opened: Channel | null = null;
    const events: ChannelEvents = {
      readable: () => {
        if (opened !== null && opened === this.#channel) this.#wakeReader();
      },
      ended: (reason) => {
        ended ??= reason;
        if (opened !== null && opened === this.#channel) this.#end(reason);
      },
    };
    try {
      await this.#dropped;
      opened = await this.#openChannel(events, this.#aborter.signal);
      const { delayMs } = this.#session;
      if (delayMs > 0) await sleep(this.#clock, delayMs, this.#aborter.signal);
    } catch (error) {
      this.#enter({ kind: 'failed', reason: describeError(error) });
      return;
    }
    if (this.#state.kind !== 'opening') {
      await opened.close().catch(() => {});
      return;
    }
    this.#channel = opened;
    this.#suspicion = null;
    this.#usedAt = this.#clock.monotonicMs();
    this.#session.opened(this.#usedAt);
    this.#enter(ended === null ? { kind: 'opened' } : { kind: 'failed', reason: ended });
  }

  #wakeReader(): void {
    const callback = this.#waiting;
    this.#waiting = null;
    callback?.();
  }

  #watchIdle(): void {
    const idleMs = this.#idleCloseMs();
    if (idleMs === 0) return;
    const left = this.#usedAt + idleMs - this.#clock.monotonicMs();
    this.#cancelIdle = this.#clock.after(Math.max(left, 1), () => {
      if (this.#clock.monotonicMs() >= this.#usedAt + this.#idleCloseMs()) this.#enter({ kind: 'idled' });
      else this.#watchIdle();
    });
  }
}
