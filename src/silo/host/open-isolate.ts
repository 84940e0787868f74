import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Isolate, IsolateListener } from './isolate.ts';
import { connectProcess, spawnProcess } from './process-isolate.ts';
import { ThreadIsolate } from './thread-isolate.ts';
import { limitsOf } from './watchdog.ts';
import type { StartMessage } from '../protocol.ts';

export type OpenIsolate = (
  startMessage: StartMessage,
  clock: Clock,
  logger: Logger,
  listener: IsolateListener,
) => Isolate;

/**
 * Starts the isolate that the silo's options name: a thread of this process, or the process of the silo's own unit.
 * Without a service manager to run that unit, the gateway starts the process itself.
 */
export const openIsolate: OpenIsolate = ({ options }, clock, logger, listener) => {
  const { name, isolation } = options;
  if (isolation.kind === 'thread')
    return new ThreadIsolate({ name, limits: limitsOf(options), clock }, listener);
  const { socket } = isolation;
  if (socket !== undefined) return connectProcess(socket, { clock }, listener);
  const unitSocket = `/run/merestone-silo/${name}/silo.sock`;
  // systemd gives each service an INVOCATION_ID (systemd.exec(5)).
  const isService = process.env['INVOCATION_ID'] !== undefined && process.env['NOTIFY_SOCKET'] !== undefined;
  if (isService || existsSync(dirname(unitSocket))) return connectProcess(unitSocket, { clock }, listener);
  logger.warn('the silo is a process of its own, but under the same user as the gateway', {
    reason: 'no systemd unit merestone-silo@ waits for it, so every process of that user can read its files',
  });
  return spawnProcess({ clock }, listener);
};
