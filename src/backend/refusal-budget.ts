import type { Origin } from '../messages/topic.ts';

/**
 * Time that the refused messages of one tenant may take: a fiftieth. A turn cannot be stopped between two of its
 * steps, nor can the collection of its garbage, so the others' 99th percentile rests on how seldom these turns are.
 */
const perSecondMs = 20;
/** At once, after a rest: a backend that a faulty version has met, or a replay. */
const burstMs = 1000;
/** Of the newest message in what is known of its gateway. */
const weight = 1 / 32;
/** Below this a gateway is like any other. */
const shareMin = 1 / 256;
const waitMaxMs = 60_000;
/** Gateways and tenants that are remembered; the oldest are forgiven first. */
const participantsMax = 10_000;

interface Suspect {
  /** How many of its messages were refused lately, from 0 to 1. */
  share: number;
  /** It had to wait since it is suspect. */
  slowed: boolean;
}

export interface Delay {
  /** For its next message. */
  waitMs: number;
  /** It is the first that this gateway has to wait. */
  first: boolean;
}

interface Account {
  leftMs: number;
  filledAtMs: number;
}

/**
 * Slows a gateway whose messages are refused: each of these is charged to its tenant with the time that it took, and
 * each of its other messages with the share that refused ones had lately. A tenant in debt has its gateways wait,
 * the longer the more of what they send is refused, and one that sends nothing bad not at all. Times are monotonic.
 */
export class RefusalBudget {
  /** By `tenant/gateway`. */
  readonly #suspects = new Map<string, Suspect>();
  readonly #tenants = new Map<string, Account>();

  /** A message of this gateway took so long; undefined where its next need not wait. */
  charge({ tenant, gateway }: Origin, ms: number, refused: boolean, nowMs: number): Delay | undefined {
    const name = `${tenant}/${gateway}`;
    const { share: before, slowed } = this.#suspects.get(name) ?? { share: 0, slowed: false };
    const share = before + ((refused ? 1 : 0) - before) * weight;
    if (share < shareMin) {
      this.#suspects.delete(name);
      return undefined;
    }
    const account = this.#fill(tenant, nowMs);
    account.leftMs -= refused ? ms : ms * share;
    const inDebt = account.leftMs < 0;
    remember(this.#suspects, name, { share, slowed: slowed || inDebt });
    if (!inDebt) return undefined;
    const waitMs = Math.min(waitMaxMs, (-account.leftMs * share * 1000) / perSecondMs);
    return { waitMs, first: !slowed };
  }

  #fill(tenant: string, nowMs: number): Account {
    const known = this.#tenants.get(tenant) ?? { leftMs: burstMs, filledAtMs: nowMs };
    const earnedMs = ((nowMs - known.filledAtMs) / 1000) * perSecondMs;
    const account = { leftMs: Math.min(burstMs, known.leftMs + earnedMs), filledAtMs: nowMs };
    remember(this.#tenants, tenant, account);
    return account;
  }
}

function remember<Value>(accounts: Map<string, Value>, name: string, value: Value): void {
  accounts.delete(name);
  accounts.set(name, value);
  if (accounts.size > participantsMax) accounts.delete(accounts.keys().next().value!);
}
