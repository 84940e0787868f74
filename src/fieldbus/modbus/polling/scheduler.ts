import type { BusShares } from '../../options.ts';
import {
  type BusBudget,
  allowedAtMs,
  openBusBudget,
  spend,
  type TurnRequest,
} from '../../sharing/bus-share.ts';

/** A device with a request now or later. */
export interface Candidate extends TurnRequest {
  /** When it may ask. */
  readyAtMs: number;
  /** When its answer should be in: the end of its interval. */
  deadlineMs: number;
  /** It failed repeatedly: asking it may cost a timeout for nothing. */
  dead: boolean;
  /** Line time that the request may cost. */
  costMs: number;
}

/** The same for a device that must not be asked before that time. */
export function notBefore(atMs: number, candidate: Candidate | null): Candidate | null {
  return candidate === null || candidate.readyAtMs >= atMs ? candidate : { ...candidate, readyAtMs: atMs };
}

export type Decision = { kind: 'ask'; index: number } | { kind: 'wait'; untilMs: number };

/** Bus time that a silo may be ahead of another before fairness overrides deadlines. */
const leadMaxMs = 200;
/** A dead device waits this long for a gap between live ones, then it is asked anyway. */
const gapWaitMs = 2000;

/** Bus time used by each silo. Plain data; `decide` reads it, `charge` makes the next. */
export interface Ledger {
  /** Bus time that each silo has used, counted so that a silo has no credit after a pause. */
  spentMs: ReadonlyMap<string, number>;
  /** What silos with a configured share may still use. */
  budget: BusBudget;
  /** What dead devices may still cost; may fall below 0. */
  deadCreditMs: number;
  atMs: number;
}

/** Largest saved-up credit of dead devices: one full timeout of a slow device. */
const deadCreditMaxMs = 1000;

/** A ledger of these silos and shares; silos of the previous one keep their entries. */
export function openLedger(
  silos: readonly string[],
  shares: BusShares,
  now: number,
  before?: Ledger,
): Ledger {
  const known = before?.spentMs ?? new Map<string, number>();
  const newcomer = known.size === 0 ? 0 : Math.max(...known.values()) - 2 * leadMaxMs;
  return {
    spentMs: new Map(silos.map((silo) => [silo, known.get(silo) ?? newcomer])),
    budget: openBusBudget(silos, shares, now, before?.budget),
    deadCreditMs: before?.deadCreditMs ?? deadCreditMaxMs,
    atMs: before?.atMs ?? now,
  };
}

type Turn = readonly [index: number, candidate: Candidate];

/**
 * Which device to ask next: the live one with the earliest deadline, but of the silo with less bus time if another is
 * too far ahead; dead ones in the gaps, within their share. Devices of a silo that has used up its share are ignored
 * until it has credit again.
 */
export function decide(
  candidates: readonly Candidate[],
  ledger: Ledger,
  deadShareMax: number,
  now: number,
): Decision {
  const free: Turn[] = [];
  let nextAllowedMs = Infinity;
  for (const turn of candidates.entries()) {
    const allowedMs = allowedAtMs(ledger.budget, turn[1], now);
    if (allowedMs <= now) free.push(turn);
    else nextAllowedMs = Math.min(nextAllowedMs, Math.max(allowedMs, turn[1].readyAtMs));
  }
  let nextLivingMs = Infinity;
  let dead: Turn | null = null;
  for (const turn of free) {
    const { dead: isDead, readyAtMs } = turn[1];
    if (!isDead) nextLivingMs = Math.min(nextLivingMs, readyAtMs);
    else if (dead === null || readyAtMs < dead[1].readyAtMs) dead = turn;
  }
  const deadMs = dead === null ? Infinity : deadTurnMs(dead[1], ledger, deadShareMax, nextLivingMs, now);
  if (dead !== null && deadMs <= now) return { kind: 'ask', index: dead[0] };
  if (nextLivingMs <= now) return { kind: 'ask', index: earliestFairDeadline(free, ledger, now) };
  return { kind: 'wait', untilMs: Math.min(nextLivingMs, deadMs, nextAllowedMs) };
}

/**
 * Silos with a device that is ready but must wait for the silo's share, and until when. The limit for dead devices does
 * not count: a silo is not reported at its limit because one of its devices is unplugged.
 */
export function silosOverShare(
  candidates: readonly Candidate[],
  { budget }: Ledger,
  now: number,
): Map<string, number> {
  const held = new Map<string, number>();
  if (budget.size === 0) return held;
  for (const candidate of candidates) {
    const allowedMs = allowedAtMs(budget, { ...candidate, dead: false }, now);
    if (candidate.readyAtMs <= now && allowedMs > now) held.set(candidate.silo, allowedMs);
  }
  return held;
}

/** When the dead candidate may be asked: with credit, and either in a gap or after waiting long for one. */
function deadTurnMs(
  { readyAtMs, costMs }: Candidate,
  ledger: Ledger,
  deadShareMax: number,
  nextLivingMs: number,
  now: number,
): number {
  const credit = deadCredit(ledger, deadShareMax, now);
  const creditAtMs = credit >= 0 ? now : now - credit / deadShareMax;
  const gapAtMs = nextLivingMs - now >= costMs ? readyAtMs : readyAtMs + gapWaitMs;
  return Math.max(creditAtMs, gapAtMs);
}

function deadCredit({ deadCreditMs, atMs }: Ledger, deadShareMax: number, now: number): number {
  return Math.min(deadCreditMaxMs, deadCreditMs + (now - atMs) * deadShareMax);
}

function earliestFairDeadline(free: readonly Turn[], { spentMs }: Ledger, now: number): number {
  const ready = free.filter(([, { dead, readyAtMs }]) => !dead && readyAtMs <= now);
  const least = Math.min(...ready.map(([, { silo }]) => spentMs.get(silo) ?? 0));
  const fair = ready.filter(([, { silo }]) => (spentMs.get(silo) ?? 0) - least <= leadMaxMs);
  return fair.reduce((a, b) => (b[1].deadlineMs < a[1].deadlineMs ? b : a))[0];
}

/** Charges the cost of a request. A silo that asks little keeps no more credit than for a short burst. */
export function charge(
  ledger: Ledger,
  { silo, dead, costMs }: Pick<Candidate, 'silo' | 'dead' | 'costMs'>,
  deadShareMax: number,
  now: number,
): Ledger {
  const spentMs = new Map(ledger.spentMs);
  // A request for a silo that was removed meanwhile is charged to none.
  if (spentMs.has(silo)) spentMs.set(silo, spentMs.get(silo)! + costMs);
  const floor = Math.max(...spentMs.values()) - 2 * leadMaxMs;
  for (const [name, spent] of spentMs) spentMs.set(name, Math.max(spent, floor));
  const deadCreditMs = deadCredit(ledger, deadShareMax, now) - (dead ? costMs : 0);
  const budget = spend(ledger.budget, { silo, dead, costMs }, now);
  return { spentMs, budget, deadCreditMs, atMs: now };
}
