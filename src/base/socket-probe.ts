import { connect } from 'node:net';

/** A live daemon answers a local connect at once. */
const probeTimeoutMs = 2000;

/** Whether a process listens at a Unix socket; one that a killed daemon left behind refuses the connection. */
export function isAnswered(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (answered: boolean): void => {
      probe.destroy();
      resolve(answered);
    };
    probe.setTimeout(probeTimeoutMs, () => settle(true));
    probe.once('connect', () => settle(true));
    // EACCES or a full backlog mean that a process listens; only a refusal means that none does.
    probe.once('error', (error: NodeJS.ErrnoException) =>
      settle(!['ECONNREFUSED', 'ENOENT'].includes(error.code ?? '')),
    );
  });
}
