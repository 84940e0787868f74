import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../base/clock.ts';
import { inBackground } from '../base/background.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { controlError, type ControlReply, type ControlRequest, type TailFilter } from './control-protocol.ts';
import type { ControlHandlers } from './control-server.ts';
import { createLineSplitter } from '../base/line-splitter.ts';

/** A request is a name and a few parameters. */
const requestBytesMax = 65_536;
/** Requests of one connection that wait for their turn; a client waits for its answer before it asks again. */
const waitingMax = 32;
/**
 * What may wait in the socket for a slow reader. Beyond it samples are counted instead, and nothing more is read
 * or answered until the socket has drained: a client that asks without reading fills only its own socket.
 */
const unreadBytesMax = 262_144;
/** Without a whole request, or without reading an answer, a connection has nothing more to do here. */
const idleMs = 60_000;

interface ConnectionDependencies {
  handlers: ControlHandlers;
  logger: Logger;
  clock: Clock;
  /** From `held(true)` to `held(false)` an answer is made, or samples are sent and read. */
  held: (isHeld: boolean) => void;
  /** Takes one of the places for tails, until the returned function is called. Throws ControlRefused. */
  beginTail: () => () => void;
}

/** Serves one client, the user `peer` tells, until either side ends. */
export function serveConnection(
  socket: Socket,
  peer: () => Promise<string>,
  dependencies: ConnectionDependencies,
): void {
  new ServedConnection(socket, peer, dependencies).begin();
}

class ServedConnection {
  readonly #socket: Socket;
  readonly #peer: () => Promise<string>;
  readonly #dependencies: ConnectionDependencies;
  /** How to end each tail. */
  readonly #subscriptions = new Map<number, () => void>();
  #waiting: ControlRequest[] = [];
  #isBusy = false;
  #cancelIdle: Cancel = () => {};

  constructor(socket: Socket, peer: () => Promise<string>, dependencies: ConnectionDependencies) {
    this.#socket = socket;
    this.#peer = peer;
    this.#dependencies = dependencies;
  }

  begin(): void {
    const socket = this.#socket;
    const split = createLineSplitter(requestBytesMax, (line) => this.#takeLine(line));
    socket.on('data', (bytes) => {
      try {
        split(bytes);
      } catch (error) {
        this.#refuseLine(null, '-', describeError(error));
        socket.destroySoon();
      }
    });
    socket.on('drain', () => {
      socket.resume();
      this.#keepTime();
    });
    socket.on('error', (error) =>
      this.#dependencies.logger.debug('control connection', { reason: error.message }),
    );
    socket.on('close', () => this.#closed());
    this.#keepTime();
  }

  #closed(): void {
    this.#waiting = [];
    for (const end of this.#subscriptions.values()) end();
    this.#subscriptions.clear();
    this.#cancelIdle();
  }

  #lags(): boolean {
    return this.#socket.writable && this.#socket.writableLength > unreadBytesMax;
  }

  #send(reply: ControlReply): void {
    if (!this.#socket.writable) return;
    this.#socket.write(`${JSON.stringify(reply)}\n`);
    if (this.#lags()) this.#socket.pause();
  }

  /** After each change of what is owed to the client, or of whether it reads. */
  #keepTime(): void {
    const { clock, held } = this.#dependencies;
    this.#cancelIdle();
    if (this.#socket.destroyed) return;
    const isOwed = (this.#isBusy || this.#subscriptions.size > 0) && !this.#lags();
    held(isOwed);
    if (!isOwed && this.#subscriptions.size === 0)
      this.#cancelIdle = clock.after(idleMs, () => endWith(this.#socket, tooIdle(), clock));
  }

  async #refuse(id: number | null, method: string, error: unknown): Promise<void> {
    const { handlers, logger } = this.#dependencies;
    this.#send({ id, error: controlError(error) });
    logger.debug('control request refused', { method, reason: describeError(error) });
    handlers.refused({ by: await this.#peer(), method, error });
  }

  #failed(error: unknown): void {
    this.#dependencies.logger.warn('control connection ends', { reason: describeError(error) });
    this.#socket.destroy();
  }

  #beginToRefuse(id: number | null, method: string, error: unknown): void {
    inBackground(this.#refuse(id, method, error), (fault) => this.#failed(fault));
  }

  #refuseLine(id: number | null, method: string, message: string): void {
    this.#beginToRefuse(id, method, new MerestoneError('ControlInvalid', message));
    // What had come before we stopped to read may be thousands of lines.
    if (this.#lags()) this.#socket.destroy();
  }

  #takeLine(line: string): void {
    if (this.#socket.destroyed) return;
    const request = parseRequest(line);
    if (request === undefined) {
      return this.#refuseLine(null, '-', 'a request is one line of JSON with id and method');
    }
    if (this.#waiting.length >= waitingMax) {
      return this.#refuseLine(request.id, request.method, 'too many requests at once');
    }
    this.#waiting.push(request);
    if (!this.#isBusy) inBackground(this.#work(), (error) => this.#failed(error));
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    this.#keepTime();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { id, method } = next;
      try {
        this.#send({ id, result: (await this.#answer(next)) ?? null });
      } catch (error) {
        this.#beginToRefuse(id, method, error);
      }
      if (this.#lags()) {
        this.#keepTime();
        await untilRead(this.#socket);
        this.#keepTime();
      }
    }
    this.#isBusy = false;
    this.#keepTime();
  }

  async #answer({ id, method, params }: ControlRequest): Promise<unknown> {
    const { handlers } = this.#dependencies;
    switch (method) {
      case 'status':
        return handlers.status();
      case 'devices':
        return handlers.devices();
      case 'reload':
        return await handlers.reload(await this.#peer());
      case 'tail':
        return this.#tail(id, parseFilter(params));
      default:
        return await handlers.request(method, params, await this.#peer());
    }
  }

  #tail(id: number, { silos, devices }: TailFilter): null {
    const { handlers, beginTail } = this.#dependencies;
    if (this.#subscriptions.size > 0)
      throw new MerestoneError('ControlInvalid', 'this connection has its tail already');
    let lost = 0;
    const reportLoss = (): void => {
      if (lost > 0) this.#send({ id, lost });
      lost = 0;
    };
    const endTail = beginTail();
    const unsubscribe = handlers.subscribe((item) => {
      if (silos && !silos.includes(item.silo)) return;
      if (devices && !devices.includes(item.sample.device)) return;
      if (this.#socket.writableLength > unreadBytesMax) {
        if (lost++ === 0) this.#keepTime();
        return;
      }
      reportLoss();
      this.#send({ id, item });
    });
    this.#socket.on('drain', reportLoss);
    this.#subscriptions.set(id, () => {
      unsubscribe();
      endTail();
    });
    return null;
  }
}

function tooIdle(): MerestoneError {
  const message = `nothing was asked, or no answer was read, for ${idleMs / 1000} s`;
  return new MerestoneError('ControlRefused', message, { hint: 'connect again', retryable: true });
}

/** Ends a connection and says why, if the socket takes it at once: a client that does not read is not waited for. */
export function endWith(socket: Socket, error: MerestoneError, clock: Clock): void {
  socket.on('error', () => {});
  socket.end(`${JSON.stringify({ id: null, error: controlError(error) })}\n`);
  clock.after(0, () => socket.destroy());
}

/** Resolves when the other side has read what waits, or is gone. */
function untilRead(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}

function parseRequest(line: string): ControlRequest | undefined {
  try {
    const parsed = JSON.parse(line) as Partial<ControlRequest> | null;
    const sound = Number.isSafeInteger(parsed?.id) && typeof parsed?.method === 'string';
    return sound ? (parsed as ControlRequest) : undefined;
  } catch {
    return undefined;
  }
}

function parseFilter(params: unknown): TailFilter {
  const { silos, devices } = (params ?? {}) as TailFilter;
  for (const names of [silos, devices]) {
    if (names !== undefined && !(Array.isArray(names) && names.every((name) => typeof name === 'string'))) {
      throw new MerestoneError('ControlInvalid', 'silos and devices are lists of names');
    }
  }
  return { ...(silos && { silos }), ...(devices && { devices }) };
}
