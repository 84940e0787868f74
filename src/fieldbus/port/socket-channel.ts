import { createConnection } from 'node:net';
import { MerestoneError } from '../../base/error.ts';
import type { EndpointOptions } from '../options.ts';
import type { Channel, OpenChannel } from './port.ts';

/** A peer that sends without being asked is cut off here: 64 of the largest answers (MBAP ADU, 260 bytes). */
const pendingBytesMax = 64 * 260;

const unreached = "check its power and cable, 'host' of the bus, and firewalls between";

/** Messages that a technician can act on, for errors of connect(2) and getaddrinfo(3). */
const socketErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at this port (ECONNREFUSED)',
  ENOTFOUND:
    "its name is not known to DNS (ENOTFOUND); check 'host' of the bus and the name server of this box",
  EAI_AGAIN: 'no name server answers (EAI_AGAIN); check the network and the name server of this box',
  EHOSTUNREACH:
    "it does not answer in this network (EHOSTUNREACH); check its power and cable, 'host' of the bus and the network of this box",
  ENETUNREACH:
    "there is no way to this network (ENETUNREACH); check 'host' of the bus and the network of this box",
  ETIMEDOUT: `it does not answer (ETIMEDOUT); ${unreached}`,
};

function describeSocketError({ code = '', message }: NodeJS.ErrnoException): string {
  return socketErrors[code] ?? message;
}

/** A TCP connection as a channel. */
export function socketChannel(endpoint: EndpointOptions): OpenChannel {
  const { host, port, connectTimeoutMs } = endpoint;
  return (events, signal) =>
    new Promise((resolve, reject) => {
      const socket = createConnection({ host, port, noDelay: true });
      const chunks: Buffer[] = [];
      let bytes = 0;
      let watched = false;
      let reason = 'the other end closed the connection';
      const fail = (message: string): void => {
        reject(
          new MerestoneError('PortUnavailable', `cannot connect to ${host}:${port}: ${message}`, {
            retryable: true,
          }),
        );
      };
      const abort = (): void => {
        socket.destroy();
        fail('stopped');
      };
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      socket.setTimeout(connectTimeoutMs, () => {
        socket.destroy();
        fail(`no connection within ${connectTimeoutMs} ms; ${unreached}`);
      });
      const channel: Channel = {
        write: (data) => {
          if (socket.destroyed) throw new Error(reason);
          socket.write(data);
        },
        read: () => {
          const data = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
          chunks.length = 0;
          bytes = 0;
          return data;
        },
        watch: () => {
          if (bytes > 0) queueMicrotask(() => events.readable());
          else watched = true;
        },
        setBaudRate: () => Promise.resolve(),
        close: () => {
          socket.destroy();
          return Promise.resolve();
        },
      };
      socket.on('data', (chunk) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > pendingBytesMax) socket.destroy(new Error('it sends without being asked'));
        if (!watched) return;
        watched = false;
        events.readable();
      });
      socket.on('error', (error) => {
        reason = error.message;
        fail(describeSocketError(error));
      });
      socket.on('close', () => {
        signal.removeEventListener('abort', abort);
        events.ended(reason);
      });
      socket.on('end', () => socket.destroy());
      socket.on('connect', () => {
        socket.setTimeout(0);
        socket.setKeepAlive(true, 30_000);
        signal.removeEventListener('abort', abort);
        resolve(channel);
      });
    });
}
