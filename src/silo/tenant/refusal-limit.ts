import type { AuditDetails } from '../../audit/audit-entry.ts';

type Refusal = AuditDetails['refused-request'];

const hourMs = 3_600_000;
/**
 * Refusals noted one by one per hour. Without this limit, a user of the control socket could push all other entries
 * out of the audit log in a day; sixty show what is tried, and the rest is counted.
 */
export const refusalsPerHour = 60;
/** Users named in the summary entry. */
const namesMax = 5;

interface Rest {
  times: number;
  by: Set<string>;
  methods: Set<string>;
}

/** Limits the audit entries on refused requests. Pure but for its counters. */
export class RefusalLimit {
  /** Monotonic ms; an hour begins with its first refusal. */
  #hourBeganMs = -Infinity;
  #noted = 0;
  #rest: Rest | undefined;

  /** Whether this refusal gets its own entry; if not, its `times` are counted. Call `settle` first. */
  admit({ by, method, times = 1 }: Refusal, nowMs: number): boolean {
    if (nowMs - this.#hourBeganMs >= hourMs) [this.#hourBeganMs, this.#noted] = [nowMs, 0];
    if (this.#noted < refusalsPerHour) {
      this.#noted += 1;
      return true;
    }
    this.#rest ??= { times: 0, by: new Set(), methods: new Set() };
    this.#rest.times += times;
    if (this.#rest.by.size < namesMax) this.#rest.by.add(by);
    if (this.#rest.methods.size < namesMax) this.#rest.methods.add(method);
    return false;
  }

  /** The summary of the refusals that were only counted, once their hour is over or if `isLast`. */
  settle(nowMs: number, isLast = false): Refusal | undefined {
    const rest = this.#rest;
    if (rest === undefined || (!isLast && nowMs - this.#hourBeganMs < hourMs)) return undefined;
    this.#rest = undefined;
    const [by, method] = [rest.by, rest.methods].map((names) => [...names].join(', ')) as [string, string];
    const reason = `only ${refusalsPerHour} an hour are noted one by one`;
    return { by, method, reason, times: rest.times };
  }
}
