import { formatBytes } from '../base/quantity.ts';
import type { BusSiloStatus, QuotaName, QuotaStatus, SiloStatus } from '../reading/status.ts';
import { backlogBytesMax } from '../silo/day-allowance.ts';

/** Closer than this to its limit, a quota is worth a line. */
const nearShare = 0.9;

/** Batches that have waited for so long are a backlog, and somebody wonders why. */
const backlogAgeMs = 60_000;
const dayMs = 86_400_000;

/** What a technician should know of a silo's quotas, a line each. */
export function describeQuotas({ quotas, spool }: SiloStatus, nowMs: number): string[] {
  const hasBacklog = (spool?.oldestAgeMs ?? 0) >= backlogAgeMs;
  return quotas.flatMap((quota) => describeQuota(quota, hasBacklog, nowMs) ?? []);
}

function describeQuota(status: QuotaStatus, hasBacklog: boolean, nowMs: number): string | undefined {
  const { quota, limit, used, state } = status;
  // A daemon of another version may have more of them.
  if (!Object.hasOwn(words, quota)) return undefined;
  const { name, show, consequence } = words[quota];
  const figures = `${name}: ${show(used)} of ${show(limit)}`;
  if (state === 'reached') return `${figures}, reached: ${consequence}`;
  const passed = (nowMs % dayMs) / dayMs;
  if (quota === 'uplink-bytes-per-day' && hasBacklog && used >= backlogBytesMax(limit, passed)) {
    return `${figures}: the backlog waits, live batches go`;
  }
  return used < nearShare * limit ? undefined : figures;
}

/** The same of a silo's share of a bus. */
export function describeBusShare({ silo, busShare, busShareMax, held }: BusSiloStatus): string | undefined {
  if (busShareMax === null || (!held && busShare < nearShare * busShareMax)) return undefined;
  const figures = `silo ${silo} takes ${percent(busShare)} and may take ${percent(busShareMax)}`;
  return held ? `${figures}: its devices wait` : figures;
}

const words: Record<QuotaName, { name: string; show: (value: number) => string; consequence: string }> = {
  'samples-per-second': {
    name: 'samples a second',
    show: (value) => Math.round(value).toLocaleString('en'),
    consequence: 'what is over it is dropped',
  },
  'uplink-bytes-per-day': {
    name: 'bytes sent today (UTC)',
    show: formatBytes,
    consequence: 'batches wait on disk until tomorrow',
  },
  'spool-bytes': { name: 'spool', show: formatBytes, consequence: 'it gives up data, see spool.whenFull' },
  'bus-share': { name: 'share of a bus', show: percent, consequence: 'its devices are read less often' },
  'cpu-share': {
    name: 'share of a core',
    show: percent,
    consequence: 'the backlog waits, then samples are dropped',
  },
};

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
