import type { Socket } from 'node:net';
import { describeError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { peerCredentials } from '../base/peer-credentials.ts';
import { userName } from '../base/user-name.ts';

/** The name of a user that the kernel does not report. */
const unknownUser = 'unknown';

/** The user at the other end of a connection, as the kernel reports it. */
export interface ControlPeer {
  /** Undefined where the kernel does not tell. */
  uid: number | undefined;
  /** Looked up at the first call. */
  name: () => Promise<string>;
}

export function peerOf(socket: Socket, logger: Logger): ControlPeer {
  let uid: number | undefined;
  try {
    uid = peerCredentials(socket).uid;
  } catch (error) {
    logger.warn('the user of a control connection is not known', { reason: describeError(error) });
  }
  let name: Promise<string> | undefined;
  return {
    uid,
    name: () => (name ??= uid === undefined ? Promise.resolve(unknownUser) : userName(uid)),
  };
}
