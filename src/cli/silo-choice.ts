import { dirname } from 'node:path';
import { MerestoneError } from '../base/error.ts';
import { formatFault } from '../config/fault-line.ts';
import { loadConfig } from '../config/load-config.ts';
import type { CredentialPlace } from '../identity/key-encryption-key.ts';
import type { SiloOptions } from '../silo/options.ts';

/** The configuration's silos, or the named one. Throws ConfigInvalid, Usage. */
export function silosOf(config: string, name?: string): readonly SiloOptions[] {
  const result = loadConfig(config);
  if ('faults' in result) {
    throw new MerestoneError('ConfigInvalid', result.faults.map(formatFault).join('\n'), {
      hint: 'correct it, then see merestone check',
    });
  }
  const { silos } = result.options;
  if (name === undefined) return silos;
  const named = silos.filter((silo) => silo.name === name);
  if (named.length > 0) return named;
  throw new MerestoneError('Usage', `there is no silo '${name}'`, { hint: `name one of ${namesOf(silos)}` });
}

/** The one silo that the command is for. Throws ConfigInvalid, Usage. */
export function siloOf(config: string, name?: string): SiloOptions {
  const [silo, ...more] = silosOf(config, name);
  if (silo !== undefined && more.length === 0) return silo;
  throw new MerestoneError('Usage', 'the configuration has several silos', {
    hint: `name one with --silo: ${namesOf([silo!, ...more])}`,
  });
}

function namesOf(silos: readonly SiloOptions[]): string {
  return silos.map((silo) => silo.name).join(', ');
}

/**
 * Where a silo's credentials are for a command that systemd did not start: under a unit of systemd, its configuration
 * names its certificate there (systemd.exec(5)).
 */
export function credentialsOf({ name, identity }: SiloOptions): CredentialPlace {
  const beside = dirname(identity.certificate);
  return { silo: name, ...(beside.startsWith('/run/credentials/') && { credentialsDirectory: beside }) };
}
