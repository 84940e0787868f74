import { isLoopback } from '../base/loopback.ts';
import type { SiloOptions } from '../silo/options.ts';
import type { GatewayOptions } from './options.ts';

/** Settings of a valid configuration that may be unintended, one line each. */
export function optionWarnings({ silos, devices, http }: GatewayOptions): string[] {
  const idle = silos.filter(({ name }) => !devices.some(({ silo }) => silo === name));
  const warnings = idle.map(({ name }) => `silo '${name}' has no devices: nothing will be read for it`);
  if (http === undefined || !('host' in http)) return warnings;
  if (!isLoopback(http.host)) {
    warnings.push(
      `http.listen: anyone who reaches ${http.host} can read the status of every tenant here; 127.0.0.1 keeps it on this box`,
    );
  }
  if (hasOwnProcesses(silos)) {
    warnings.push(
      'http.listen: every user of this box, each silo too, reads the status of every tenant at a TCP port; a socket such as /run/merestone/http.sock keeps it with its group',
    );
  }
  return warnings;
}

/** Several tenants, at least one of which has a user of its own. */
function hasOwnProcesses(silos: readonly SiloOptions[]): boolean {
  return silos.length > 1 && silos.some(({ isolation }) => isolation.kind === 'process');
}
