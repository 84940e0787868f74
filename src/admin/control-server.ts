import { createServer } from 'node:net';
import { inBackground } from '../base/background.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { GatewayStatus } from '../status/status.ts';
import { serveConnection } from './control-connection.ts';
import { controlError, type SiloDevices, type TailItem } from './control-protocol.ts';
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
  /** Any other method; throws MerestoneError ControlInvalid where there is none of that name. */
  request(method: string, params: unknown, by: string): Promise<unknown>;
  /** Whatever was refused, by us or by one of the above. */
  refused(refusal: Refusal): void;
}

export interface Refusal {
  /** The local user who asked. */
  by: string;
  /** What was asked for, in the asker's words; `-` where that did not come out. */
  method: string;
  error: unknown;
}

export interface ControlServer {
  /** Ends every connection and removes the socket. */
  close(): Promise<void>;
}

/** Each costs a file descriptor and up to half a megabyte of buffers; more than this is a loop gone wild. */
const connectionsMax = 16;

/** Listens on a Unix socket, see listenLocally. Throws DaemonRunning, Io. */
export async function startControlServer(
  socketPath: string,
  handlers: ControlHandlers,
  dependencies: { logger: Logger },
): Promise<ControlServer> {
  const connections = new Set<() => void>();
  const server = createServer((socket) => {
    const peer = peerOf(socket, dependencies.logger);
    if (connections.size >= connectionsMax) {
      const error = new MerestoneError('ControlRefused', 'too many connections', { retryable: true });
      socket.on('error', () => {});
      socket.end(`${JSON.stringify({ id: null, error: controlError(error) })}\n`, () => socket.destroy());
      inBackground(
        peer().then((by) => handlers.refused({ by, method: '-', error })),
        (fault) => dependencies.logger.warn('a refusal is not noted', { reason: describeError(fault) }),
      );
      return;
    }
    const end = serveConnection(socket, peer, handlers, dependencies.logger);
    connections.add(end);
    socket.on('close', () => connections.delete(end));
  });

  await listenLocally(server, socketPath, 'control.socket');

  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const end of connections) end();
      }),
  };
}
