import type { Socket } from 'node:net';
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
 * or answered until what waits is gone: whoever asks on and on without reading fills his own socket.
 */
const unreadBytesMax = 262_144;

/** Serves one client, the user `peer` tells, until either side ends; returns how to end it from here. */
export function serveConnection(
  socket: Socket,
  peer: () => Promise<string>,
  handlers: ControlHandlers,
  logger: Logger,
): () => void {
  const subscriptions = new Map<number, () => void>();
  let waiting: ControlRequest[] = [];
  let isBusy = false;

  const lags = (): boolean => socket.writable && socket.writableLength > unreadBytesMax;
  const send = (reply: ControlReply): void => {
    if (!socket.writable) return;
    socket.write(`${JSON.stringify(reply)}\n`);
    if (lags()) socket.pause();
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
    for (let request = waiting.shift(); request !== undefined; request = waiting.shift()) {
      const { id } = request;
      try {
        send({ id, result: (await answer(request)) ?? null });
      } catch (error) {
        beginToRefuse(id, request.method, error);
      }
      if (lags()) await untilRead(socket);
    }
    isBusy = false;
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
    const unsubscribe = handlers.subscribe((item) => {
      if (silos && !silos.includes(item.silo)) return;
      if (devices && !devices.includes(item.sample.device)) return;
      if (socket.writableLength > unreadBytesMax) {
        lost++;
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
    subscriptions.set(id, unsubscribe);
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
  socket.on('drain', () => socket.resume());
  socket.on('error', (error) => logger.debug('control connection', { reason: error.message }));
  socket.on('close', () => {
    waiting = [];
    for (const unsubscribe of subscriptions.values()) unsubscribe();
    subscriptions.clear();
  });
  return () => socket.destroy();
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
