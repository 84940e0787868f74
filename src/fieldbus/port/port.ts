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
  const { clock, logger, idleCloseMs = () => 0, random = Math.random } = dependencies;
  const { connectDelayMs = 0, isConnection = false } = dependencies;
  const listeners = new Set<(state: PortState) => void>();
  const aborter = new AbortController();
  const log = new PortLog(logger, clock, isConnection);
  const session = new OpenPeriod(isConnection, connectDelayMs);
  let state: PortState = { kind: 'opening' };
  let channel: Channel | null = null;
  let failures = 0;
  let cancelRetry: Cancel = () => {};
  let cancelIdle: Cancel = () => {};
  let waiting: (() => void) | null = null;
  let usedAt = 0;
  let suspicion: string | null = null;
  let dropped = Promise.resolve();

  const enter = (event: PortEvent): void => {
    const before = state;
    state = nextPortState(before, event);
    if (state === before) return;
    cancelRetry();
    cancelIdle();
    if (state.kind !== 'open' && channel !== null) {
      if (session.ended(clock.monotonicMs())) work();
      dropped = dropChannel();
    }
    if (state.kind === 'opening') beginToOpen();
    if (state.kind === 'lost') {
      log.lost(state.reason);
      failures += 1;
      const pause = backoffMs(failures, reopenPause, random());
      cancelRetry = clock.after(pause, () => enter({ kind: 'retried' }));
    }
    if (state.kind === 'open') {
      log.opened();
      inBackground(tellSharer(), (error) => logger.debug('port sharer', { reason: describeError(error) }));
      watchIdle();
      if (waiting) channel?.watch();
    }
    for (const listener of listeners) listener(state);
  };

  const work = (): void => {
    failures = 0;
    log.worked();
  };

  /** The channel has ended by itself. */
  const end = (reason: string): void =>
    enter(
      isConnection && session.isUseful
        ? { kind: 'idled', byPeer: true }
        : { kind: 'failed', reason: suspicion ?? reason },
    );

  const findSharer = async (): Promise<string | null> => {
    const holder = await channel?.findSharer?.().catch(() => null);
    return holder ? `process ${holder.pid} (${holder.command}) has the port open as well` : null;
  };

  const tellSharer = async (): Promise<void> => {
    const sharer = await findSharer();
    if (sharer !== null) log.shared(sharer);
  };

  const dropChannel = async (): Promise<void> => {
    const ended = channel;
    channel = null;
    await ended?.close().catch((error: unknown) => {
      logger.debug('port close', { reason: describeError(error) });
    });
  };

  const open = async (): Promise<void> => {
    let ended: string | null = null;
    let opened: Channel | null = null;
    const events: ChannelEvents = {
      readable: () => {
        if (opened === null || opened !== channel) return;
        const callback = waiting;
        waiting = null;
        callback?.();
      },
      ended: (reason) => {
        ended ??= reason;
        if (opened !== null && opened === channel) end(reason);
      },
    };
    try {
      await dropped;
      opened = await openChannel(events, aborter.signal);
      if (session.delayMs > 0) await sleep(clock, session.delayMs, aborter.signal);
    } catch (error) {
      enter({ kind: 'failed', reason: describeError(error) });
      return;
    }
    if (state.kind !== 'opening') {
      await opened.close().catch(() => {});
      return;
    }
    channel = opened;
    suspicion = null;
    usedAt = clock.monotonicMs();
    session.opened(usedAt);
    enter(ended === null ? { kind: 'opened' } : { kind: 'failed', reason: ended });
  };

  const beginToOpen = (): void => {
    inBackground(open(), (error) => enter({ kind: 'failed', reason: describeError(error) }));
  };

  const watchIdle = (): void => {
    const idleMs = idleCloseMs();
    if (idleMs === 0) return;
    const left = usedAt + idleMs - clock.monotonicMs();
    cancelIdle = clock.after(Math.max(left, 1), () => {
      if (clock.monotonicMs() >= usedAt + idleCloseMs()) enter({ kind: 'idled' });
      else watchIdle();
    });
  };

  beginToOpen();
  return {
    get state() {
      return state;
    },
    onState: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    write: (bytes) => {
      if (channel === null || state.kind !== 'open') {
        throw new MerestoneError('PortUnavailable', offlineReason(state), { retryable: true });
      }
      usedAt = clock.monotonicMs();
      session.asked();
      try {
        channel.write(bytes);
      } catch (error) {
        const reason = describeError(error);
        end(reason);
        throw new MerestoneError('PortUnavailable', reason, { retryable: true, cause: error });
      }
    },
    read: () => channel?.read() ?? nothing,
    onReadable: (callback) => {
      waiting = callback;
      channel?.watch();
      return () => {
        if (waiting === callback) waiting = null;
      };
    },
    setBaudRate: async (baudRate) => {
      await channel?.setBaudRate(baudRate);
    },
    wake: () => enter({ kind: 'wanted' }),
    proveUseful: () => {
      if (state.kind !== 'open') return;
      const isNew = !session.isUseful;
      session.proved();
      if (!isNew) return;
      work();
      log.opened();
    },
    endTurn: () => {
      if (session.isOneShot && session.isUseful) enter({ kind: 'idled', byPeer: true });
    },
    get uselessConnections() {
      return session.useless;
    },
    findSharer,
    suspect: (reason) => {
      suspicion = reason;
    },
    renew: (reason) => {
      logger.debug('port renewed', { reason });
      enter({ kind: 'renewed' });
    },
    reset: (reason) => enter({ kind: 'failed', reason }),
    close: async () => {
      aborter.abort();
      enter({ kind: 'closed' });
      listeners.clear();
      await dropped;
    },
  };
}
