import { isIPv4 } from 'node:net';

/** Whether what listens at `host` can be reached from this box alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
