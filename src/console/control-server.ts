import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { isAnswered } from '../base/socket-probe.ts';
import type { GatewayStatus } from '../reading/status.ts';
import { serveConnection } from './control-connection.ts';
import { controlError, type SiloDevices, type TailItem } from './control-protocol.ts';
import { peerOf } from './peer.ts';

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
/** Bytes of `sun_path` without its NUL, unix(7). */
const socketPathBytesMax = 107;

/**
 * Listens on a Unix socket that its owner and group may use (mode 0660). A socket that a killed daemon left
 * behind is replaced; throws DaemonRunning where a live one answers, and Io where the path can't be used.
 */
export async function startControlServer(
  socketPath: string,
  handlers: ControlHandlers,
  dependencies: { logger: Logger },
): Promise<ControlServer> {
  if (Buffer.byteLength(socketPath) > socketPathBytesMax) {
    throw socketFault(socketPath, 'the path is too long for a socket', 'choose a shorter control.socket');
  }
  const connections = new Set<() => void>();
  const server = createServer((socket) => {
    const peer = peerOf(socket, dependencies.logger);
    if (connections.size >= connectionsMax) {
      const error = new MerestoneError('ControlRefused', 'too many connections', { retryable: true });
      socket.on('error', () => {});
      socket.end(`${JSON.stringify({ id: null, error: controlError(error) })}\n`, () => socket.destroy());
      void peer().then((by) => handlers.refused({ by, method: '-', error }));
      return;
    }
    const end = serveConnection(socket, peer, handlers, dependencies.logger);
    connections.add(end);
    socket.on('close', () => connections.delete(end));
  });

  await claim(socketPath);
  await listen(server, socketPath);
  // Until here its mode is 0755 at most, and connecting needs the right to write.
  chmodSync(socketPath, 0o660);

  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const end of connections) end();
      }),
  };
}

/** Makes room at `socketPath`, but never by taking it from somebody who lives there. */
async function claim(socketPath: string): Promise<void> {
  try {
    mkdirSync(path.dirname(socketPath), { recursive: true, mode: 0o750 });
    const found = lstatSync(socketPath, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isSocket()) {
      throw socketFault(socketPath, 'something else stands where the socket belongs', 'move it away');
    }
    if (await isAnswered(socketPath)) {
      throw new MerestoneError('DaemonRunning', 'another daemon answers here', {
        subject: socketPath,
        hint: "stop it first, or give this one its own control.socket; 'merestone status' shows it",
      });
    }
    rmSync(socketPath, { force: true });
  } catch (error) {
    throw error instanceof MerestoneError ? error : unusable(socketPath, error);
  }
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(unusable(socketPath, error)));
    server.listen(socketPath, () => resolve());
  });
}

function unusable(socketPath: string, cause: unknown): MerestoneError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  return socketFault(
    socketPath,
    denied ? 'the control socket may not be made here' : `the control socket cannot be made: ${message}`,
    'choose a control.socket in a folder that the daemon may write',
    cause,
  );
}

function socketFault(subject: string, message: string, hint: string, cause?: unknown): MerestoneError {
  return new MerestoneError('Io', message, { subject, hint, cause });
}
