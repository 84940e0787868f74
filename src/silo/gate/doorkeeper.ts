import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { describeError, MerestoneError } from '../../base/error.ts';
import type { Logger } from '../../base/logger.ts';
import { provenPeer } from '../../base/peer-credentials.ts';
import { userName } from '../../base/user-name.ts';
import { Life, type LifeDependencies } from './life.ts';

const strangerReason = 'only the gateway may speak to a silo';

export interface DoorkeeperOptions {
  /** Path of the Unix socket. The folder's owner is whom the gateway takes the process for. */
  listen: string;
  /** The only user that is let in: the gateway's, as it is when somebody knocks. */
  gatewayUid: () => number;
}

export interface Doorkeeper {
  /** Ends the life that is on, with leave, and stops listening. */
  close(): Promise<void>;
}

/**
 * The door of a silo that is a process of its own: whoever knocks must be the gateway's user, as the kernel says
 * (SO_PEERCRED, unix(7)), and one at a time. Throws Io where it can't listen.
 */
export async function keepDoor(
  { listen, gatewayUid }: DoorkeeperOptions,
  { logger, ...dependencies }: Omit<LifeDependencies, 'ended'> & { logger: Logger },
): Promise<Doorkeeper> {
  let life: Life | undefined;
  let closed: (() => void) | undefined;

  const admit = (socket: Socket): void => {
    const { uid, pid } = provenPeer(socket);
    if (uid !== gatewayUid()) {
      void remember(uid, pid);
      return turnAway(socket, strangerReason);
    }
    if (life !== undefined) return turnAway(socket, 'another gateway is connected to this silo');
    if (closed !== undefined) return turnAway(socket, 'this silo is leaving');
    logger.info('gateway connected', { pid });
    const own = new Life(socket, {
      ...dependencies,
      ended: () => {
        life = undefined;
        logger.info('gateway left');
        closed?.();
      },
    });
    life = own;
  };

  const remember = async (uid: number, pid: number): Promise<void> => {
    const by = await userName(uid);
    logger.warn('stranger refused', { user: by, pid });
    const details = { by, method: 'connect', reason: strangerReason };
    life?.post({ type: 'record', act: { kind: 'refused-request', details } });
  };

  const server = createServer((socket) => {
    try {
      admit(socket);
    } catch (error) {
      const reason = describeError(error);
      logger.warn('a connection is refused', { reason });
      turnAway(socket, reason);
    }
  });
  try {
    rmSync(listen, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(listen, resolve);
    });
    // Whoever reaches the folder may knock; who is let in, the kernel's word on the peer decides.
    chmodSync(listen, 0o666);
  } catch (error) {
    throw new MerestoneError('Io', `the silo's socket cannot be made (${describeError(error)})`, {
      subject: listen,
      hint: 'choose a path in a folder that this user may write; systemd makes /run/merestone-silo/NAME',
      cause: error,
    });
  }

  return {
    close: async () => {
      server.close();
      if (life === undefined) return;
      await new Promise<void>((resolve) => {
        closed = resolve;
        life?.leave();
      });
    },
  };
}

/** One who has been told to go and does not. */
const awayTimeoutMs = 1000;

/** Whoever is not let in is told why, so that a gateway does not take it for a crash; what it says is not read. */
function turnAway(socket: Socket, reason: string): void {
  socket.on('error', () => {});
  socket.resume();
  socket.end(`${JSON.stringify({ type: 'away', reason })}\n`);
  socket.setTimeout(awayTimeoutMs, () => socket.destroy());
}
