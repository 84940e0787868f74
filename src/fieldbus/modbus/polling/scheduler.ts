import type { BusShares } from '../../options.ts';
import {
  type BusBudget,
  allowedAtMs,
  openBusBudget,
  spend,
  type TurnRequest,
} from '../../sharing/bus-share.ts';

/** A device that has, or will have, something to ask. */
export interface Candidate extends TurnRequest {
  /** When it may ask. */
  readyAtMs: number;
  /** When its answer should be in: the end of its interval. */
  deadlineMs: number;
  /** It failed repeatedly: asking it may cost a timeout and bring nothing. */
  dead: boolean;
  /** What asking may cost of the line's time. */
  costMs: number;
}

/** The same for a device that has to rest until then. */
export function notBefore(atMs: number, candidate: Candidate | null): Candidate | null {
  return candidate === null || candidate.readyAtMs >= atMs ? candidate : { ...candidate, readyAtMs: atMs };
}

export type Decision = { kind: 'ask'; index: number } | { kind: 'wait'; untilMs: number };

/** How far a silo may be ahead of another in bus time before deadlines count for less than fairness. */
const leadMaxMs = 200;
/** A dead device waits this long for a gap between the living ones, then it is asked all the same. */
const gapWaitMs = 2000;

/** Who spent how much of the bus. Plain data; `decide` reads it, `charge` makes the next. */
export interface Ledger {
  /** Time of the bus that each silo has had, counted so that one that comes back from a pause has no credit. */
  spentMs: ReadonlyMap<string, number>;
  /** What silos with a share of their own may still take. */
  budget: BusBudget;
  /** What the dead may still cost; may fall below 0. */
  deadCreditMs: number;
  atMs: number;
}

/** The dead can't save up more than this: one full timeout of a slow device. */
const deadCreditMaxMs = 1000;

/** A ledger of these silos and shares; who stood in the one before keeps what stood there. */
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

type Turn = readonly [index: number, contender: Candidate];

/**
 * Whom to ask next: the earliest deadline among the living, of the silo that has had less where one is
 * too far ahead; the dead in the gaps, as far as their share goes. Who belongs to a silo that has used up
 * its share is until then as if it were not there.
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
 * Silos that have somebody ready who must wait for their share, and until when. What the dead may cost of it is no
 * reason: a silo is not said to be at its limit because a device of it is unplugged.
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

/** When the dead contender may be asked: with credit, and either in a gap or after waiting long for one. */
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

/** Books what asking cost. A silo that asks little keeps no more credit than a short burst is worth. */
export function charge(
  ledger: Ledger,
  { silo, dead, costMs }: Pick<Candidate, 'silo' | 'dead' | 'costMs'>,
  deadShareMax: number,
  now: number,
): Ledger {
  const spentMs = new Map(ledger.spentMs);
  // What was asked for a silo that has left meanwhile is nobody's any more.
  if (spentMs.has(silo)) spentMs.set(silo, spentMs.get(silo)! + costMs);
  const floor = Math.max(...spentMs.values()) - 2 * leadMaxMs;
  for (const [name, spent] of spentMs) spentMs.set(name, Math.max(spent, floor));
  const deadCreditMs = deadCredit(ledger, deadShareMax, now) - (dead ? costMs : 0);
  const budget = spend(ledger.budget, { silo, dead, costMs }, now);
  return { spentMs, budget, deadCreditMs, atMs: now };
}
