import type { Socket } from 'node:net';
import { describeError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { peerCredentials } from '../base/peer-credentials.ts';
import { userName } from '../base/user-name.ts';

/** What stands for a user that the kernel does not tell. */
const unknownUser = 'unknown';

/** Who uses a connection, by the kernel's word. */
export interface ControlPeer {
  /** Undefined where the kernel does not tell. */
  uid: number | undefined;
  /** Looked up when it is first wanted. */
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
