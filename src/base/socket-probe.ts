import { connect } from 'node:net';

/** A live daemon answers a local connect at once. */
const probeTimeoutMs = 2000;

/** Whether somebody lives at a Unix socket; one that a killed daemon left behind is answered by nobody. */
export function isAnswered(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (answered: boolean): void => {
      probe.destroy();
      resolve(answered);
    };
    probe.setTimeout(probeTimeoutMs, () => settle(true));
    probe.once('connect', () => settle(true));
    // EACCES or a full backlog mean that somebody is there; only a refusal means that nobody is.
    probe.once('error', (error: NodeJS.ErrnoException) =>
      settle(!['ECONNREFUSED', 'ENOENT'].includes(error.code ?? '')),
    );
  });
}
