/** A device that has, or will have, something to ask. */
export interface Contender {
  silo: string;
  /** When it may ask. */
  readyAtMs: number;
  /** When its answer should be in: the end of its interval. */
  deadlineMs: number;
  /** It failed repeatedly: asking it may cost a timeout and bring nothing. */
  dead: boolean;
  /** What asking may cost of the line's time. */
  costMs: number;
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
  /** What the dead may still cost; may fall below 0. */
  deadCreditMs: number;
  atMs: number;
}

/** The dead can't save up more than this: one full timeout of a slow device. */
const deadCreditMaxMs = 1000;

export function emptyLedger(silos: readonly string[], now: number): Ledger {
  return { spentMs: new Map(silos.map((silo) => [silo, 0])), deadCreditMs: deadCreditMaxMs, atMs: now };
}

/**
 * Whom to ask next: the earliest deadline among the living, of the silo that has had less where one is
 * too far ahead; the dead in the gaps, as far as their share goes.
 */
export function decide(
  contenders: readonly Contender[],
  ledger: Ledger,
  deadShareMax: number,
  now: number,
): Decision {
  let nextLivingMs = Infinity;
  let dead = -1;
  let nextDeadMs = Infinity;
  for (const [index, { dead: isDead, readyAtMs }] of contenders.entries()) {
    if (!isDead) nextLivingMs = Math.min(nextLivingMs, readyAtMs);
    else if (readyAtMs < nextDeadMs) [dead, nextDeadMs] = [index, readyAtMs];
  }
  const deadMs = dead < 0 ? Infinity : deadTurnMs(contenders[dead]!, ledger, deadShareMax, nextLivingMs, now);
  if (deadMs <= now) return { kind: 'ask', index: dead };
  if (nextLivingMs <= now) return { kind: 'ask', index: earliestFairDeadline(contenders, ledger, now) };
  return { kind: 'wait', untilMs: Math.min(nextLivingMs, deadMs) };
}

/** When the dead contender may be asked: with credit, and either in a gap or after waiting long for one. */
function deadTurnMs(
  { readyAtMs, costMs }: Contender,
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

function earliestFairDeadline(contenders: readonly Contender[], { spentMs }: Ledger, now: number): number {
  const ready = [...contenders.entries()].filter(([, { dead, readyAtMs }]) => !dead && readyAtMs <= now);
  const least = Math.min(...ready.map(([, { silo }]) => spentMs.get(silo) ?? 0));
  const fair = ready.filter(([, { silo }]) => (spentMs.get(silo) ?? 0) - least <= leadMaxMs);
  return fair.reduce((a, b) => (b[1].deadlineMs < a[1].deadlineMs ? b : a))[0];
}

/** Books what asking cost. A silo that asks little keeps no more credit than a short burst is worth. */
export function charge(
  ledger: Ledger,
  { silo, dead, costMs }: Pick<Contender, 'silo' | 'dead' | 'costMs'>,
  deadShareMax: number,
  now: number,
): Ledger {
  const spentMs = new Map(ledger.spentMs);
  spentMs.set(silo, (spentMs.get(silo) ?? 0) + costMs);
  const floor = Math.max(...spentMs.values()) - 2 * leadMaxMs;
  for (const [name, spent] of spentMs) spentMs.set(name, Math.max(spent, floor));
  const deadCreditMs = deadCredit(ledger, deadShareMax, now) - (dead ? costMs : 0);
  return { spentMs, deadCreditMs, atMs: now };
}
