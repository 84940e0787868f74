import inspector from 'node:inspector';
import { MerestoneError } from './error.ts';

/**
 * Keeps V8's inspector shut: whoever reaches its port (every local user of the box) reads the private key out of the
 * process and runs code in it. The starts give Node `--disable-sigusr1`; this holds for a Node that was started by
 * itself, too, and keeps the signal, which would end the process then, without effect.
 * Throws Usage where the inspector is open already, by `--inspect` or NODE_OPTIONS.
 */
export function keepDebuggersOut(): void {
  process.on('SIGUSR1', () => {});
  const url = inspector.url();
  if (url === undefined) return;
  throw new MerestoneError('Usage', `V8's inspector is open at ${url.replace(/\/[^/]*$/, '')}`, {
    hint: 'start it without --inspect, and see to NODE_OPTIONS: whoever reaches that port reads the private key',
  });
}
