import type { Cancel, Clock } from '../../base/clock.ts';
import type { BusSiloStatus } from '../../status/status.ts';
import type { BusShares } from '../options.ts';
import { averagedOverMs } from './bus-share.ts';
import { SlidingMinute } from './sliding-minute.ts';

/** A silo begins, or ceases, to be limited by its share of a bus. */
export interface ShareEvent {
  limit: number;
  state: 'reached' | 'cleared';
}

/**
 * A silo counts as limited until none of its devices had to wait for this long. In that time its budget grows from its
 * lowest to full, so a silo that stays near its limit is reported once, and there is at most one pair of events in it.
 */
const clearAfterMs = averagedOverMs;

interface Use {
  busTime: SlidingMinute;
  shareMax: number | null;
  /** Null if it is not limited. */
  overShareUntilMs: number | null;
  cancel: Cancel;
}

export interface SiloUse {
  /** Replaces the set of silos; one that stays keeps its figures. */
  assign(silos: readonly string[], shares: BusShares): void;
  add(silo: string, busMs: number): void;
  /** A device of the silo has to wait until then because the share is used up. */
  hold(silo: string, untilMs: number): void;
  status(): BusSiloStatus[];
  /** Reports nothing. */
  stop(): void;
}

/** Each silo's use of one bus, and whether its share limits it. */
export function createSiloUse(clock: Clock, tell: (silo: string, event: ShareEvent) => void): SiloUse {
  let uses = new Map<string, Use>();

  const clear = (silo: string, use: Use): void => {
    use.cancel();
    use.overShareUntilMs = null;
    tell(silo, { limit: use.shareMax!, state: 'cleared' });
  };

  const clearInTime = (silo: string, use: Use): void => {
    const leftMs = use.overShareUntilMs! - clock.monotonicMs();
    if (leftMs <= 0) clear(silo, use);
    else use.cancel = clock.after(Math.ceil(leftMs), () => clearInTime(silo, use));
  };

  return {
    assign: (silos, shares) => {
      const before = uses;
      const now = clock.monotonicMs();
      uses = new Map();
      for (const silo of silos) {
        const shareMax = shares.get(silo) ?? null;
        const use = before.get(silo) ?? {
          busTime: new SlidingMinute(now),
          shareMax,
          overShareUntilMs: null,
          cancel: () => {},
        };
        uses.set(silo, use);
        if (use.overShareUntilMs !== null && shareMax === null) clear(silo, use);
        else if (use.overShareUntilMs !== null && shareMax !== use.shareMax) {
          // The remaining wait is computed again.
          use.overShareUntilMs = now + clearAfterMs;
          use.cancel();
          clearInTime(silo, use);
        }
        use.shareMax = shareMax;
      }
      for (const [silo, use] of before)
        if (!uses.has(silo) && use.overShareUntilMs !== null) clear(silo, use);
    },
    add: (silo, busMs) => uses.get(silo)?.busTime.add(busMs, clock.monotonicMs()),
    hold: (silo, untilMs) => {
      const use = uses.get(silo);
      if (use === undefined || use.shareMax === null) return;
      const isNew = use.overShareUntilMs === null;
      use.overShareUntilMs = untilMs + clearAfterMs;
      if (!isNew) return;
      tell(silo, { limit: use.shareMax, state: 'reached' });
      clearInTime(silo, use);
    },
    status: () => {
      const now = clock.monotonicMs();
      return [...uses].map(([silo, { busTime, shareMax, overShareUntilMs }]) => ({
        silo,
        busShare: busTime.share(now),
        busShareMax: shareMax,
        held: overShareUntilMs !== null,
      }));
    },
    stop: () => {
      for (const { cancel } of uses.values()) cancel();
    },
  };
}
