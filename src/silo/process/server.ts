import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { inBackground } from '../../base/background.ts';
import { type RateLimits, TokenBucket } from '../../base/token-bucket.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import type { Logger } from '../../base/logger.ts';
import { prepareProof, provenPeer } from '../../base/peer-credentials.ts';
import { isAnswered } from '../../base/socket-probe.ts';
import { Connection, type ConnectionDependencies } from './connection.ts';
import { RefusedPeerLog } from './refused-peer-log.ts';
import { RefusedConnections } from './refused-connections.ts';

const refusedPeerReason = 'only the gateway may speak to a silo';
/** Log lines about peers that disconnect before the kernel can report their user. */
const faultLines: RateLimits = { perSecond: 1 / 60, burst: 5 };

export interface ServerOptions {
  /** Path of the Unix socket. The gateway expects the folder's owner as the user of this process. */
  listen: string;
  /** The only accepted user: the gateway's, looked up for each connection. */
  gatewayUid: () => number;
}

export interface SiloServer {
  /** Stops the running silo in order, and stops listening. */
  close(): Promise<void>;
}

/**
 * The server of a silo that is a process of its own. It accepts one connection at a time, and only from the gateway's
 * user as the kernel reports it (SO_PEERCRED, unix(7)). Throws Io if it cannot listen, DaemonRunning if another silo
 * listens there.
 */
export async function serve(
  { listen, gatewayUid }: ServerOptions,
  { logger, ...dependencies }: Omit<ConnectionDependencies, 'begun' | 'ended'> & { logger: Logger },
): Promise<SiloServer> {
  const { clock } = dependencies;
  const refused = new RefusedConnections();
  const faults = new TokenBucket(faultLines, clock.monotonicMs());
  let connection: Connection | undefined;
  let isClosing = false;
  let closed: (() => void) | undefined;
  const notes = new RefusedPeerLog(
    { clock, logger },
    refusedPeerReason,
    (details) => connection?.post({ type: 'record', act: { kind: 'refused-request', details } }) ?? false,
  );

  const admit = (socket: Socket): void => {
    const { uid, pid } = provenPeer(socket);
    if (uid !== gatewayUid()) {
      inBackground(notes.refused(uid, pid), (error) => {
        logger.warn('a refused peer is not noted', { reason: describeError(error) });
      });
      return refused.add(socket, refusedPeerReason);
    }
    if (connection !== undefined) return refused.add(socket, 'another gateway is connected to this silo');
    if (isClosing) return refused.add(socket, 'this silo is leaving');
    logger.info('gateway connected', { pid });
    connection = new Connection(socket, {
      ...dependencies,
      begun: () => notes.begun(),
      ended: () => {
        connection = undefined;
        logger.info('gateway left');
        closed?.();
      },
    });
  };

  prepareProof();
  const server = createServer((socket) => {
    try {
      admit(socket);
    } catch (error) {
      const reason = describeError(error);
      if (faults.take(1, clock.monotonicMs())) logger.warn('a connection is refused', { reason });
      refused.add(socket, reason);
    }
  });
  await open(server, listen);

  return {
    close: async () => {
      isClosing = true;
      server.close();
      refused.endAll();
      notes.close();
      if (connection === undefined) return;
      await new Promise<void>((resolve) => {
        closed = resolve;
        connection?.leave();
      });
    },
  };
}

async function open(server: Server, listen: string): Promise<void> {
  try {
    const found = lstatSync(listen, { throwIfNoEntry: false });
    if (found !== undefined && !found.isSocket()) throw new Error('there is a file that is no socket');
    if (found !== undefined && (await isAnswered(listen))) {
      throw new MerestoneError('DaemonRunning', 'another silo answers here', {
        subject: listen,
        hint: 'stop it first, or give this one a socket of its own',
      });
    }
    rmSync(listen, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(listen, resolve);
    });
    // accept(2) fails while there are no descriptors left; the gateway then tries again.
    server.on('error', () => {});
    // Any user who can reach the folder may connect; the user that the kernel reports decides who is accepted.
    chmodSync(listen, 0o666);
  } catch (error) {
    if (error instanceof MerestoneError) throw error;
    throw new MerestoneError('Io', `the silo's socket cannot be made (${describeError(error)})`, {
      subject: listen,
      hint: 'choose a path in a folder that this user may write; systemd makes /run/merestone-silo/NAME',
      cause: error,
    });
  }
}
