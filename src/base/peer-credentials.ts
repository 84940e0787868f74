import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type Koffi from 'koffi';
import { MerestoneError } from './error.ts';

/** Who was at the other end of a Unix socket when it was connected, as the kernel knows it (unix(7)). */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** asm-generic/socket.h: x64 and arm64 alike. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid_t, uid_t, gid_t. */
const ucredBytes = 12;

type GetSockOpt = (
  descriptor: number,
  level: number,
  name: number,
  value: Buffer,
  length: [number],
) => number;

let getsockopt: GetSockOpt | undefined;
let overflowUid: number | undefined;

/**
 * The credentials that the kernel reports, which no client can forge. Throws Io for a socket that is closed or no Unix
 * socket, WrongRuntime where this machine can't tell.
 */
export function peerCredentials(socket: Socket): PeerCredentials {
  const descriptor = (socket as unknown as { _handle: { fd?: number } | null })._handle?.fd;
  if (descriptor === undefined || descriptor < 0) throw fault('the connection is closed');
  getsockopt ??= loadGetSockOpt();
  const value = Buffer.alloc(ucredBytes);
  const length: [number] = [ucredBytes];
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) {
    throw fault('the kernel does not tell');
  }
  const credentials = { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
  // A socket of another family is answered with pid 0 and the ids -1.
  if (length[0] !== ucredBytes || credentials.pid === 0) throw fault('it is no Unix socket');
  return credentials;
}

/**
 * The same, for deciding about access: throws also if the kernel has no name for the user. In a user namespace of its
 * own (PrivateUsers= in a unit) a process sees every other user as that one, so it can't tell them apart.
 */
export function provenPeer(socket: Socket): PeerCredentials {
  const credentials = peerCredentials(socket);
  overflowUid ??= readOverflowUid();
  if (credentials.uid !== overflowUid) return credentials;
  throw fault('this process sees every other user as the same one (PrivateUsers= in its unit)');
}

/** Loads what a peer check needs in advance: the check must work when no more files can be opened. */
export function prepareProof(): void {
  overflowUid ??= readOverflowUid();
  getsockopt ??= loadGetSockOpt();
}

/** The kernel's stand-in for a user that it has no name for (proc(5)); the administrator may set it, once a boot. */
function readOverflowUid(): number {
  return Number(readFileSync('/proc/sys/kernel/overflowuid', 'utf8'));
}

/** Loaded at the first use: most commands never ask, and koffi costs them 20 ms. */
function loadGetSockOpt(): GetSockOpt {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new MerestoneError('WrongRuntime', 'the user at a socket is known only on Linux x64 and arm64', {
      subject: `${process.platform} ${process.arch}`,
      hint: 'run it there',
    });
  }
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    return koffi
      .load(null)
      .func(
        'int getsockopt(int descriptor, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
      ) as GetSockOpt;
  } catch (cause) {
    throw fault('the C library cannot be asked', cause);
  }
}

function fault(why: string, cause?: unknown): MerestoneError {
  return new MerestoneError('Io', `the user at the other end of this socket is unknown: ${why}`, { cause });
}
