import type { BusShares } from '../options.ts';

/**
 * A silo's budget of one bus's time: it grows by `shareMax` ms each ms, and the cost of a request is subtracted once
 * it is known, so it may fall below 0. Plain data; every change makes a new one.
 */
export interface SiloBudget {
  shareMax: number;
  creditMs: number;
  /** The part of it that devices that do not answer may still cost. */
  deadCreditMs: number;
  atMs: number;
}

/** By silo; one that is not in it has no limit. */
export type BusBudget = ReadonlyMap<string, SiloBudget>;

/** A request of a silo's device, as far as the budget needs it. */
export interface TurnRequest {
  silo: string;
  /** It is the rest of a poll. */
  begun: boolean;
  dead: boolean;
}

/**
 * A share is kept over this time. On a slow line one request takes seconds (125 registers at 1200 baud: 2.4 s),
 * and a poll of many devices that fall due together is no flood; no value is delayed much longer than this.
 */
export const averagedOverMs = 10_000;

/** The part of a share that the silo's dead devices may cost all together: its live ones have at least the rest. */
const deadPart = 1 / 2;

/**
 * Half of the time is for a burst after a pause, the other half for a poll that has begun: it is not cut in two when
 * the credit is used up, because a sample's values belong to one moment.
 */
function swingMs(shareMax: number): number {
  return (shareMax * averagedOverMs) / 2;
}

/** Those of `silos` that have a limit; one that had it before keeps its credit, or its debt. */
export function openBusBudget(
  silos: readonly string[],
  shares: BusShares,
  now: number,
  before: BusBudget = new Map(),
): BusBudget {
  const budget = new Map<string, SiloBudget>();
  for (const silo of silos) {
    const shareMax = shares.get(silo) ?? 1;
    // The whole of a bus is no limit.
    if (shareMax >= 1) continue;
    const swing = swingMs(shareMax);
    const known = before.get(silo);
    const credit = known ? creditAt(known, now) : { creditMs: swing, deadCreditMs: swing };
    budget.set(silo, {
      shareMax,
      creditMs: Math.max(-swing, Math.min(swing, credit.creditMs)),
      deadCreditMs: Math.max(-swing, Math.min(swing * deadPart, credit.deadCreditMs)),
      atMs: now,
    });
  }
  return budget;
}

/** When it may be asked; `now` if at once. */
export function allowedAtMs(budget: BusBudget, { silo, begun, dead }: TurnRequest, now: number): number {
  const siloBudget = budget.get(silo);
  if (siloBudget === undefined) return now;
  const { shareMax } = siloBudget;
  const { creditMs, deadCreditMs } = creditAt(siloBudget, now);
  const missingMs = (begun ? -swingMs(shareMax) : 0) - creditMs;
  const deadMissingMs = dead ? -deadCreditMs / deadPart : 0;
  return now + Math.max(0, missingMs, deadMissingMs) / shareMax;
}

export function spend(
  budget: BusBudget,
  { silo, dead, costMs }: Pick<TurnRequest, 'silo' | 'dead'> & { costMs: number },
  now: number,
): BusBudget {
  const siloBudget = budget.get(silo);
  if (siloBudget === undefined) return budget;
  const { creditMs, deadCreditMs } = creditAt(siloBudget, now);
  return new Map(budget).set(silo, {
    shareMax: siloBudget.shareMax,
    creditMs: creditMs - costMs,
    deadCreditMs: deadCreditMs - (dead ? costMs : 0),
    atMs: now,
  });
}

/** Of the time of a bus, what dead devices of the silo may take where all dead together have `deadShareMax`. */
export function deadShareOf(budget: BusBudget, silo: string, deadShareMax: number): number {
  const siloBudget = budget.get(silo);
  return siloBudget === undefined ? deadShareMax : Math.min(deadShareMax, siloBudget.shareMax * deadPart);
}

function creditAt(
  { shareMax, creditMs, deadCreditMs, atMs }: SiloBudget,
  now: number,
): Pick<SiloBudget, 'creditMs' | 'deadCreditMs'> {
  const filledMs = (now - atMs) * shareMax;
  const swing = swingMs(shareMax);
  return {
    creditMs: Math.min(swing, creditMs + filledMs),
    deadCreditMs: Math.min(swing * deadPart, deadCreditMs + filledMs * deadPart),
  };
}
