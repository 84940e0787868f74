import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { inBackground } from '../base/background.ts';
import { MerestoneError } from '../base/error.ts';
import { createLineSplitter } from '../base/line-splitter.ts';
import type { ControlError, ControlFault, ControlReply, TailFilter, TailItem } from './control-protocol.ts';

/** The status of a thousand devices is about half a megabyte. */
const replyBytesMax = 16_000_000;
/** A daemon whose main thread is free answers at once. */
const answerTimeoutMs = 10_000;

/** What the daemon answered instead of a result. */
export class RequestRefused extends MerestoneError {
  /** Of a configuration that was refused; else empty. */
  readonly faults: readonly ControlFault[];

  constructor({ code, message, hint, subject, faults = [] }: ControlError) {
    super(code, message, { ...(hint !== undefined && { hint }), ...(subject !== undefined && { subject }) });
    this.faults = faults;
  }
}

export interface ControlClient {
  /** Resolves with the result; rejects with RequestRefused, or DaemonUnreachable where no answer comes in time. */
  request(method: string, params?: unknown, timeoutMs?: number): Promise<unknown>;
  /** Every sample that passes, until the signal aborts or the daemon ends, which rejects. */
  tail(filter: TailFilter, listener: TailListener, signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface TailListener {
  /** Where it returns a promise, no more is read from the socket until that is settled. */
  item(item: TailItem): Promise<void> | void;
  /** The daemon skipped `count` samples because this client reads too slowly. */
  lost(count: number): void;
}

/** Pause before another attempt when the backlog is full (EAGAIN of connect(2) on a Unix socket). */
const crowdedPauseMs = 20;

/** Throws DaemonUnreachable if no daemon listens, ControlRefused if this user may not connect. */
export async function connectControl(socketPath: string): Promise<ControlClient> {
  const signal = AbortSignal.timeout(answerTimeoutMs);
  for (;;) {
    const socket = connect(socketPath);
    try {
      await once(socket, 'connect', { signal });
      return new SocketClient(socket, socketPath);
    } catch (error) {
      socket.destroy();
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || signal.aborted) {
        throw connectFault(socketPath, error as NodeJS.ErrnoException);
      }
    }
    await pause(crowdedPauseMs);
  }
}

interface CallOptions {
  timeoutMs?: number | undefined;
  onMore?: (reply: ControlReply | MerestoneError) => void;
}

type Listener = (reply: ControlReply | MerestoneError) => void;

class SocketClient implements ControlClient {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #listeners = new Map<number, Listener>();
  #nextId = 1;
  /** Items that a listener is still working on: nothing more is read meanwhile. */
  #pauses = 0;

  constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    const split = createLineSplitter(replyBytesMax, (line) => this.#takeLine(line));
    socket.on('data', (bytes) => {
      try {
        split(bytes);
      } catch {
        this.#fail('what answers here is no Merestone daemon');
      }
    });
    socket.on('error', (error) => this.#fail(`the connection broke: ${error.message}`));
    socket.on('close', () => this.#fail('the daemon has ended'));
  }

  request(method: string, params?: unknown, timeoutMs?: number): Promise<unknown> {
    return this.#call(this.#nextId++, method, params, { timeoutMs });
  }

  async tail(filter: TailFilter, listener: TailListener, signal: AbortSignal): Promise<void> {
    const id = this.#nextId++;
    let stop: (reason?: MerestoneError) => void = () => {};
    const ended = new Promise<void>((resolve, reject) => {
      stop = (reason) => (reason ? reject(reason) : resolve());
    });
    ended.catch(() => {});
    const onAbort = (): void => stop();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) stop();
    try {
      await this.#call(id, 'tail', filter, {
        onMore: (reply) => {
          if (reply instanceof MerestoneError) stop(reply);
          else if ('item' in reply) this.#pauseFor(listener.item(reply.item as TailItem));
          else if ('lost' in reply) listener.lost(reply.lost);
        },
      });
      await ended;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#listeners.delete(id);
    }
  }

  close(): void {
    this.#listeners.clear();
    this.#socket.destroy();
  }

  #takeLine(line: string): void {
    const reply = JSON.parse(line) as ControlReply;
    if (reply.id === null && 'error' in reply) this.#fail(reply.error.message);
    else this.#listeners.get(reply.id ?? 0)?.(reply);
  }

  #fail(reason: string): void {
    const error = endedFault(this.#path, reason);
    for (const listener of this.#listeners.values()) listener(error);
    this.#socket.destroy();
  }

  /** Sends and resolves with the result; `onMore` gets the lines that come after it. */
  #call(
    id: number,
    method: string,
    params: unknown,
    { timeoutMs = answerTimeoutMs, onMore }: CallOptions = {},
  ): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => settle(timeoutFault(this.#path)), timeoutMs);
      const settle: Listener = (reply) => {
        clearTimeout(timer);
        if (onMore === undefined) this.#listeners.delete(id);
        else this.#listeners.set(id, onMore);
        if (reply instanceof MerestoneError) reject(reply);
        else if ('error' in reply) reject(new RequestRefused(reply.error));
        else resolve('result' in reply ? reply.result : undefined);
      };
      if (this.#socket.destroyed) return settle(endedFault(this.#path, 'the daemon has ended'));
      this.#listeners.set(id, settle);
      this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  #pauseFor(until: Promise<void> | void): void {
    if (until === undefined) return;
    const socket = this.#socket;
    this.#pauses++;
    socket.pause();
    const released = until.finally(() => {
      if (--this.#pauses === 0) socket.resume();
    });
    inBackground(released, (error) => socket.destroy(error instanceof Error ? error : undefined));
  }
}

function endedFault(subject: string, reason: string): MerestoneError {
  const hint = "look at its log, such as by 'journalctl -u merestone'";
  return new MerestoneError('DaemonUnreachable', reason, { subject, hint, retryable: true });
}

function timeoutFault(subject: string): MerestoneError {
  return new MerestoneError('DaemonUnreachable', 'the daemon does not answer', {
    subject,
    hint: 'look at its log and its load',
    retryable: true,
  });
}

function connectFault(subject: string, error: NodeJS.ErrnoException): MerestoneError {
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new MerestoneError('ControlRefused', 'you may not use the control socket', {
      subject,
      hint: 'run it as root, or as a member of the group that owns the socket',
      cause: error,
    });
  }
  if (error.code === 'EAGAIN' || error.name === 'AbortError') return timeoutFault(subject);
  return new MerestoneError('DaemonUnreachable', 'no daemon is running here', {
    subject,
    hint: "start it with 'systemctl start merestone' or 'merestone run'",
    retryable: true,
    cause: error,
  });
}
