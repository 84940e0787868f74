import type { QuotaName, QuotaStatus } from '../../../status/status.ts';
import type { SiloOptions } from '../../options.ts';

/** A quota was reached or is clear again, as reported by its event and its audit entry. */
export interface QuotaEdge {
  quota: QuotaName;
  limit: number;
  state: 'reached' | 'cleared';
}

/**
 * A quota that has limited nothing for this long is clear again. So use near the limit makes at most one pair of
 * events in ten seconds, and devices that are polled every few seconds do not make one with each poll.
 */
export const holdMsMin = 10_000;
/**
 * A quota that is reached again soon after it was cleared stays reached for twice as long, up to this long: use near
 * the limit for days makes 150 pairs a day, where ten seconds alone would push all other entries out of the audit log
 * in a few weeks.
 */
export const holdMsMax = 600_000;

interface Entry {
  limit: number;
  used: number;
  state: QuotaStatus['state'];
  /** True for as long as the quota limits something. */
  stands: boolean;
  /** When the quota last limited something; monotonic ms, as all times here. */
  heldAtMs: number;
  clearedAtMs: number;
  holdMs: number;
}

/** Every quota that is set, and `spool-bytes`, which is always set. */
export function limitsOf({ quota, spool }: SiloOptions): Partial<Record<QuotaName, number>> {
  const { samplesPerSecond, uplinkBytesPerDay, busShare, cpuShare } = quota;
  return {
    ...(samplesPerSecond !== undefined && { 'samples-per-second': samplesPerSecond }),
    ...(uplinkBytesPerDay !== undefined && { 'uplink-bytes-per-day': uplinkBytesPerDay }),
    'spool-bytes': spool.bytesMax,
    ...(busShare !== undefined && { 'bus-share': busShare }),
    ...(cpuShare !== undefined && { 'cpu-share': cpuShare }),
  };
}

/** Every quota of a silo: its limit, its use, and whether it is reached. Pure but for what it remembers. */
export class QuotaEdges {
  readonly #entries = new Map<QuotaName, Entry>();

  constructor(limits: Partial<Record<QuotaName, number>>) {
    for (const [quota, limit] of Object.entries(limits)) this.limit(quota as QuotaName, limit);
  }

  /** Changes a limit; use and state are kept. */
  limit(quota: QuotaName, limit: number): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.limit = limit;
    else this.#entries.set(quota, begin(limit));
  }

  use(quota: QuotaName, used: number): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.used = used;
  }

  /** The quota limits something, or causes a loss, now. */
  hold(quota: QuotaName, nowMs: number): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.heldAtMs = nowMs;
  }

  /** The quota limits something from now on, or no longer does. */
  stand(quota: QuotaName, stands: boolean): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.stands = stands;
  }

  /** What changed since the last call. */
  review(nowMs: number): QuotaEdge[] {
    const edges: QuotaEdge[] = [];
    for (const [quota, entry] of this.#entries) {
      const { limit } = entry;
      if (entry.stands) entry.heldAtMs = nowMs;
      if (entry.state === 'clear' && entry.heldAtMs > entry.clearedAtMs) {
        const again = nowMs - entry.clearedAtMs < holdMsMax;
        entry.holdMs = again ? Math.min(2 * entry.holdMs, holdMsMax) : holdMsMin;
        entry.state = 'reached';
        edges.push({ quota, limit, state: 'reached' });
      } else if (entry.state === 'reached' && nowMs - entry.heldAtMs >= entry.holdMs) {
        entry.state = 'clear';
        entry.clearedAtMs = nowMs;
        edges.push({ quota, limit, state: 'cleared' });
      }
    }
    return edges;
  }

  status(): QuotaStatus[] {
    return Array.from(this.#entries, ([quota, { limit, used, state }]) => ({ quota, limit, used, state }));
  }
}

function begin(limit: number): Entry {
  const never = -Infinity;
  return {
    limit,
    used: 0,
    state: 'clear',
    stands: false,
    heldAtMs: never,
    clearedAtMs: never,
    holdMs: holdMsMin,
  };
}
