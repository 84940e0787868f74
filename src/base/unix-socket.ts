import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import path from 'node:path';
import { MerestoneError } from './error.ts';
import { isAnswered } from './socket-probe.ts';

/** Bytes of `sun_path` without its NUL, unix(7). */
const socketPathBytesMax = 107;

/** The configuration's key that names the path. */
type Key = 'control.socket' | 'http.listen';

/**
 * Has a server listen on a Unix socket that its owner and group may use (mode 0660). A socket that a killed daemon
 * left behind is replaced; throws DaemonRunning where a live one answers, and Io where the path can't be used.
 */
export async function listenLocally(server: Server, socketPath: string, key: Key): Promise<void> {
  if (Buffer.byteLength(socketPath) > socketPathBytesMax) {
    throw socketFault(socketPath, 'the path is too long for a socket', `choose a shorter ${key}`);
  }
  await claim(socketPath, key);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(unusable(socketPath, key, error)));
    // bind(2), which is part of the call, makes it; from its first moment no other user may connect.
    const umask = process.umask(0o117);
    server.listen(socketPath, () => resolve());
    process.umask(umask);
  });
  // accept(2) fails while there are no descriptors left; clients that connect then try again.
  server.on('error', () => {});
  chmodSync(socketPath, 0o660);
}

/** Removes what is at `socketPath`, but never the socket of a live process. */
async function claim(socketPath: string, key: Key): Promise<void> {
  try {
    mkdirSync(path.dirname(socketPath), { recursive: true, mode: 0o750 });
    const found = lstatSync(socketPath, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isSocket()) {
      throw socketFault(socketPath, 'something else than a socket is at this path', 'move it away');
    }
    if (await isAnswered(socketPath)) {
      throw new MerestoneError('DaemonRunning', 'another daemon answers here', {
        subject: socketPath,
        hint: `stop it first, or give this one its own ${key}; 'merestone status' shows it`,
      });
    }
    rmSync(socketPath, { force: true });
  } catch (error) {
    throw error instanceof MerestoneError ? error : unusable(socketPath, key, error);
  }
}

function unusable(socketPath: string, key: Key, cause: unknown): MerestoneError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  return socketFault(
    socketPath,
    denied ? 'the socket may not be made here' : `the socket cannot be made: ${message}`,
    `choose a ${key} in a folder that the daemon may write`,
    cause,
  );
}

function socketFault(subject: string, message: string, hint: string, cause?: unknown): MerestoneError {
  return new MerestoneError('Io', message, { subject, hint, cause });
}
