import { createServer } from 'node:net';
import { inBackground } from '../base/background.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { GatewayStatus } from '../status/status.ts';
import { ConnectionPool, type PooledConnection, type PoolLimits } from './connection-pool.ts';
import { endWith, serveConnection } from './control-connection.ts';
import type { SiloDevices, TailItem } from './control-protocol.ts';
import { listenLocally } from '../base/unix-socket.ts';
import { peerOf } from './control-peer.ts';

/** What the daemon does for those who may use its control socket. */
export interface ControlHandlers {
  status(): GatewayStatus;
  /** The devices of every silo, so that a tail knows units. */
  devices(): SiloDevices[];
  /** Calls back with every sample from now on until the returned function is called. */
  subscribe(listener: (item: TailItem) => void): () => void;
  /** Reads the configuration again; `by` is the local user who asks. */
  reload(by: string): Promise<unknown>;
  /** Any other method; throws MerestoneError ControlInvalid if the name is unknown. */
  request(method: string, params: unknown, by: string): Promise<unknown>;
  /** Each refused request, whether this server or a handler above refused it. */
  refused(refusal: Refusal): void;
}

export interface Refusal {
  /** The local user who asked. */
  by: string;
  /** The method as the client sent it; `-` if the request could not be parsed. */
  method: string;
  error: unknown;
}

export interface ControlServer {
  /** Ends every connection and removes the socket. */
  close(): Promise<void>;
}

/** Each costs a file descriptor and up to half a megabyte of buffers; only a faulty program opens more than this. */
const connectionLimits: PoolLimits = { restingMax: 16, allMax: 272 };
/** Leaves connections free for `status`, however many tails are open. */
const tailsMax = 16;

type ControlConnection = PooledConnection & { end(): void };

/**
 * Listens on a Unix socket, see listenLocally. When there are too many connections, an old idle one is told so and
 * ended for the new one. Throws DaemonRunning, Io.
 */
export async function startControlServer(
  socketPath: string,
  handlers: ControlHandlers,
  { logger, clock = systemClock }: { logger: Logger; clock?: Clock },
): Promise<ControlServer> {
  const pool = new ConnectionPool<ControlConnection>(connectionLimits, clock);
  let tails = 0;
  const beginTail = (): (() => void) => {
    if (tails >= tailsMax) throw new MerestoneError('ControlRefused', `${tailsMax} tails are on already`);
    tails += 1;
    return () => (tails -= 1);
  };
  const server = createServer((socket) => {
    const peer = peerOf(socket, logger);
    const evict = (): void => {
      const error = tooMany();
      endWith(socket, error, clock);
      inBackground(
        peer.name().then((by) => handlers.refused({ by, method: '-', error })),
        (fault) => logger.warn('a refusal is not noted', { reason: describeError(fault) }),
      );
    };
    const connection = { peer: String(peer.uid), evict, end: () => socket.destroy() };
    if (!pool.add(connection)) return evict();
    socket.on('close', () => pool.remove(connection));
    const held = (isHeld: boolean): void => (isHeld ? pool.hold(connection) : pool.release(connection));
    serveConnection(socket, peer.name, { handlers, logger, clock, held, beginTail });
  });

  await listenLocally(server, socketPath, 'control.socket');

  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of pool) connection.end();
      }),
  };
}

function tooMany(): MerestoneError {
  return new MerestoneError(
    'ControlRefused',
    'too many connections, and this one asked nothing for longest',
    {
      hint: 'end the programs that keep them, and ask again',
      retryable: true,
    },
  );
}
