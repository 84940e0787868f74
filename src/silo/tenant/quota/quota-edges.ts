import type { QuotaName, QuotaStatus } from '../../../status/status.ts';
import type { SiloOptions } from '../../options.ts';

/** A quota was reached or is clear again, as its event and its audit entry tell it. */
export interface QuotaEdge {
  quota: QuotaName;
  limit: number;
  state: 'reached' | 'cleared';
}

/**
 * A quota that held nothing back for this long is clear again. So one that is hovered at makes one pair of
 * events in ten seconds at most, and devices that are polled every few seconds don't make one with each poll.
 */
export const holdMsMin = 10_000;
/**
 * One that is reached again this soon after it was cleared is held for twice as long, up to this long: who
 * hovers for days makes 150 pairs a day, where ten seconds alone would have pushed everything else out of
 * the audit log in a few weeks.
 */
export const holdMsMax = 600_000;

interface Entry {
  limit: number;
  used: number;
  state: QuotaStatus['state'];
  /** It holds something back for as long as this is true. */
  stands: boolean;
  /** When it last held something back; monotonic ms, as all times here. */
  heldAtMs: number;
  clearedAtMs: number;
  holdMs: number;
}

/** Every quota that is set, and spool bytes, which always are. */
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

  /** Sets a limit anew; its use and state go on. */
  limit(quota: QuotaName, limit: number): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.limit = limit;
    else this.#entries.set(quota, begin(limit));
  }

  use(quota: QuotaName, used: number): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.used = used;
  }

  /** It holds something back, or gives something up, now. */
  hold(quota: QuotaName, nowMs: number): void {
    const entry = this.#entries.get(quota);
    if (entry !== undefined) entry.heldAtMs = nowMs;
  }

  /** It holds something back from now on, or does not any more. */
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
