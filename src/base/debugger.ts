import inspector from 'node:inspector';
import { MerestoneError } from './error.ts';

/**
 * Keeps V8's inspector shut: anyone who reaches its port (every local user of the box) can read the private key out of
 * the process and run code in it. Our start scripts give Node `--disable-sigusr1`; this function protects a Node that
 * was started without it, too, and ignores the signal, which would end the process otherwise.
 * Throws Usage where the inspector is open already, by `--inspect` or NODE_OPTIONS.
 */
export function keepDebuggersOut(): void {
  process.on('SIGUSR1', () => {});
  const url = inspector.url();
  if (url === undefined) return;
  throw new MerestoneError('Usage', `V8's inspector is open at ${url.replace(/\/[^/]*$/, '')}`, {
    hint: 'start it without --inspect, and check NODE_OPTIONS: anyone who reaches that port can read the private key',
  });
}
