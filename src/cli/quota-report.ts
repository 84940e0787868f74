import type { BusSiloStatus, QuotaStatus, SiloStatus } from '../status/status.ts';
import { percent, quotaText } from '../status/verdict/quota-words.ts';
import { backlogBytesMax } from '../silo/tenant/quota/daily-bytes.ts';

/** Closer than this to its limit, a quota is worth a line. */
const nearShare = 0.9;

/** Batches that have waited this long are a backlog, which the report explains. */
const backlogAgeMs = 60_000;
const dayMs = 86_400_000;

/** What a technician should know of a silo's quotas, a line each. */
export function describeQuotas({ quotas, spool }: SiloStatus, nowMs: number): string[] {
  const hasBacklog = (spool?.oldestAgeMs ?? 0) >= backlogAgeMs;
  return quotas.flatMap((quota) => describeQuota(quota, hasBacklog, nowMs) ?? []);
}

function describeQuota(status: QuotaStatus, hasBacklog: boolean, nowMs: number): string | undefined {
  const { quota, limit, used, state } = status;
  const { name, show, consequence } = quotaText(quota);
  const figures = `${name}: ${show(used)} of ${show(limit)}`;
  if (state === 'reached') return `${figures}, reached: ${consequence}`;
  const passed = (nowMs % dayMs) / dayMs;
  if (quota === 'uplink-bytes-per-day' && hasBacklog && used >= backlogBytesMax(limit, passed)) {
    return `${figures}: the backlog waits, live batches go`;
  }
  return used < nearShare * limit ? undefined : figures;
}

/** The same for a silo's share of a bus. */
export function describeBusShare({ silo, busShare, busShareMax, held }: BusSiloStatus): string | undefined {
  if (busShareMax === null || (!held && busShare < nearShare * busShareMax)) return undefined;
  const figures = `silo ${silo} takes ${percent(busShare)} and may take ${percent(busShareMax)}`;
  return held ? `${figures}: its devices wait` : figures;
}
