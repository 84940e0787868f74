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
  { handlers, logger, clock, held, beginTail }: ConnectionDependencies,
): void {
  /** How to end each tail. */
  const subscriptions = new Map<number, () => void>();
  let waiting: ControlRequest[] = [];
  let isBusy = false;
  let cancelIdle: Cancel = () => {};

  const lags = (): boolean => socket.writable && socket.writableLength > unreadBytesMax;
  const send = (reply: ControlReply): void => {
    if (!socket.writable) return;
    socket.write(`${JSON.stringify(reply)}\n`);
    if (lags()) socket.pause();
  };
  /** After each change of what is owed to the client, or of whether it reads. */
  const keepTime = (): void => {
    cancelIdle();
    if (socket.destroyed) return;
    const isOwed = (isBusy || subscriptions.size > 0) && !lags();
    held(isOwed);
    if (!isOwed && subscriptions.size === 0)
      cancelIdle = clock.after(idleMs, () => endWith(socket, tooIdle(), clock));
  };
  const refuse = async (id: number | null, method: string, error: unknown): Promise<void> => {
    send({ id, error: controlError(error) });
    logger.debug('control request refused', { method, reason: describeError(error) });
    handlers.refused({ by: await peer(), method, error });
  };
  const ended = (error: unknown): void => {
    logger.warn('control connection ends', { reason: describeError(error) });
    socket.destroy();
  };
  const beginToRefuse = (id: number | null, method: string, error: unknown): void => {
    inBackground(refuse(id, method, error), ended);
  };
  const refuseLine = (id: number | null, method: string, message: string): void => {
    beginToRefuse(id, method, new MerestoneError('ControlInvalid', message));
    // What had come before we stopped to read may be thousands of lines.
    if (lags()) socket.destroy();
  };

  const work = async (): Promise<void> => {
    isBusy = true;
    keepTime();
    for (let request = waiting.shift(); request !== undefined; request = waiting.shift()) {
      const { id } = request;
      try {
        send({ id, result: (await answer(request)) ?? null });
      } catch (error) {
        beginToRefuse(id, request.method, error);
      }
      if (lags()) {
        keepTime();
        await untilRead(socket);
        keepTime();
      }
    }
    isBusy = false;
    keepTime();
  };

  const answer = async ({ id, method, params }: ControlRequest): Promise<unknown> => {
    switch (method) {
      case 'status':
        return handlers.status();
      case 'devices':
        return handlers.devices();
      case 'reload':
        return await handlers.reload(await peer());
      case 'tail':
        return tail(id, parseFilter(params));
      default:
        return await handlers.request(method, params, await peer());
    }
  };

  const tail = (id: number, { silos, devices }: TailFilter): null => {
    if (subscriptions.size > 0)
      throw new MerestoneError('ControlInvalid', 'this connection has its tail already');
    let lost = 0;
    const endTail = beginTail();
    const unsubscribe = handlers.subscribe((item) => {
      if (silos && !silos.includes(item.silo)) return;
      if (devices && !devices.includes(item.sample.device)) return;
      if (socket.writableLength > unreadBytesMax) {
        if (lost++ === 0) keepTime();
        return;
      }
      if (lost > 0) send({ id, lost });
      lost = 0;
      send({ id, item });
    });
    const reportLoss = (): void => {
      if (lost > 0) send({ id, lost });
      lost = 0;
    };
    socket.on('drain', reportLoss);
    subscriptions.set(id, () => {
      unsubscribe();
      endTail();
    });
    return null;
  };

  const onLine = (line: string): void => {
    if (socket.destroyed) return;
    const request = parseRequest(line);
    if (request === undefined) {
      return refuseLine(null, '-', 'a request is one line of JSON with id and method');
    }
    if (waiting.length >= waitingMax) {
      return refuseLine(request.id, request.method, 'too many requests at once');
    }
    waiting.push(request);
    if (!isBusy) inBackground(work(), ended);
  };
  const split = createLineSplitter(requestBytesMax, onLine);

  socket.on('data', (bytes) => {
    try {
      split(bytes);
    } catch (error) {
      refuseLine(null, '-', describeError(error));
      socket.destroySoon();
    }
  });
  socket.on('drain', () => {
    socket.resume();
    keepTime();
  });
  socket.on('error', (error) => logger.debug('control connection', { reason: error.message }));
  socket.on('close', () => {
    waiting = [];
    for (const end of subscriptions.values()) end();
    subscriptions.clear();
    cancelIdle();
  });
  keepTime();
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
