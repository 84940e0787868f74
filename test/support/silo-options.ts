import type { SiloOptions } from '../../src/silo/options.ts';

/** Options of a silo that needs none of its files. */
export function siloOptions(name: string, more: Partial<SiloOptions> = {}): SiloOptions {
  return {
    name,
    identity: { certificate: '/none.crt', privateKey: '/none.key', trust: '/none-ca.crt' },
    uplink: {
      url: 'mqtts://localhost:8883',
      ca: '/none-ca.crt',
      protocol: '5',
      encoding: 'json',
      compression: 'none',
      noSubscribers: 'keep',
      order: 'live-first',
      inflightMax: 100,
      keepaliveSeconds: 30,
    },
    batch: { lingerMs: 100, samplesMax: 500, bytesMax: 120_000 },
    spool: { directory: '/none', bytesMax: 10_000_000, whenFull: 'drop-oldest', keyPeriodMs: 86_400_000 },
    quota: {},
    memoryMbMax: 96,
    isolation: { kind: 'thread' },
    ...more,
  };
}
