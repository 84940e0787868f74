import { join } from 'node:path';
import type { Sample } from '../../src/reading/sample.ts';
import type { StartMessage } from '../../src/silo/protocol.ts';
import type { SiloOptions } from '../../src/silo/options.ts';

const dayMs = 86_400_000;

/** The next noon that comes, UTC: no test that begins there sees midnight, and fresh certificates are valid. */
export function nextNoon(): number {
  return Math.ceil(Date.now() / dayMs) * dayMs + dayMs / 2;
}

/** What to change in the options of a silo under test. */
export interface SiloChanges extends Partial<Omit<SiloOptions, 'spool' | 'uplink'>> {
  spool?: Partial<SiloOptions['spool']>;
  uplink?: Partial<SiloOptions['uplink']>;
}

/** A silo whose files and certificates are in `folder`, as Site writes them. */
export function siloStartMessage(
  folder: string,
  { spool, uplink, ...changes }: SiloChanges = {},
): StartMessage {
  const path = (name: string): string => join(folder, name);
  const options: SiloOptions = {
    name: 'north',
    identity: { certificate: path('north.crt'), privateKey: path('north.key'), trust: path('ca.crt') },
    uplink: {
      // No broker listens there.
      url: 'mqtts://127.0.0.1:1',
      ca: path('ca.crt'),
      protocol: '5',
      encoding: 'json',
      compression: 'none',
      noSubscribers: 'accept',
      order: 'live-first',
      inflightMax: 100,
      keepaliveSeconds: 30,
      ...uplink,
    },
    checkpoint: { everyMs: 3_600_000, shareMax: 0.1 },
    batch: { lingerMs: 50, samplesMax: 500, bytesMax: 120_000 },
    spool: {
      directory: path('silo'),
      bytesMax: 4_000_000,
      whenFull: 'drop-oldest',
      keyPeriodMs: dayMs,
      ...spool,
    },
    keyDirectory: path('keys'),
    quota: {},
    memoryMbMax: 96,
    isolation: { kind: 'thread' },
    ...changes,
  };
  return { options, devices: [], configSha256: 'ab'.repeat(32) };
}

/** Options of a silo that needs none of its files. */
export function siloOptions(name: string, changes: SiloChanges = {}): SiloOptions {
  return siloStartMessage('/none', { name, ...changes }).options;
}

export function siloSamples(
  count: number,
  { wallMs, monotonicMs }: { wallMs: number; monotonicMs: number },
  values: Sample['values'] = { power: 1 },
): Sample[] {
  return Array.from({ length: count }, () => ({ device: 'main-meter', wallMs, monotonicMs, values }));
}
