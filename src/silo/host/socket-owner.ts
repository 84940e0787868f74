import { lstatSync, realpathSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { MerestoneError } from '../../base/error.ts';
import { provenPeer } from '../../base/peer-credentials.ts';

const groupOrOthersWrite = 0o022;
const sticky = 0o1000;

/**
 * The owner of a socket's folder must be the user that answers at the socket, as the kernel reports it (SO_PEERCRED,
 * unix(7)). No other user may be able to replace the socket or a folder above it. Throws SiloStranger.
 */
export function requireOwner(socket: Socket, socketPath: string): void {
  const folder = dirname(socketPath);
  const { uid: owner, mode } = lstatSync(folder);
  const { uid } = provenPeer(socket);
  if (uid !== owner) {
    throw new MerestoneError('SiloStranger', `user ${uid} answers, and the folder belongs to user ${owner}`, {
      subject: socketPath,
      hint: 'see who runs there, and start the silo by its own unit',
    });
  }
  if ((mode & groupOrOthersWrite) !== 0) {
    throw new MerestoneError('SiloStranger', 'others may put a socket there', {
      subject: folder,
      hint: 'take the right to write from group and others (chmod go-w)',
    });
  }
  const trusted = new Set([0, process.getuid!(), owner]);
  for (const ancestor of new Set([...ancestorsOf(folder), ...ancestorsOf(realpathSync(folder))])) {
    requireSafe(ancestor, trusted);
  }
}

/** A user who may write in a folder can replace its content, as sshd's StrictModes assumes. */
function requireSafe(folder: string, trusted: ReadonlySet<number>): void {
  const { uid, mode } = statSync(folder);
  if (!trusted.has(uid)) {
    throw new MerestoneError(
      'SiloStranger',
      `the way to the silo's socket leads through user ${uid}'s folder`,
      {
        subject: folder,
        hint: "take a path whose folders are root's",
      },
    );
  }
  const isShared = (mode & groupOrOthersWrite) !== 0;
  if (isShared && !(uid === 0 && (mode & sticky) !== 0)) {
    throw new MerestoneError('SiloStranger', "others may put a folder on the way to the silo's socket", {
      subject: folder,
      hint: 'take the right to write from group and others (chmod go-w)',
    });
  }
}

function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestorsOf(parent)];
}
