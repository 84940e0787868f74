/** One that takes turns: what it has had, in the virtual time of those that it shares with. */
interface Account {
  /** When its last turn ends, counted as if it alone had been served since it came. */
  finishMs: number;
  waiting: number;
}

/**
 * Whose turn it is, among names that have something waiting: always that of the one that has had least, counted
 * in time used (start-time fair queueing). One that comes with little waits for no more than the turn in
 * progress, however much the others have waiting. Touches neither time nor what waits; memory goes with the
 * names that wait or that are ahead of their share.
 */
export class FairTurns {
  readonly #accounts = new Map<string, Account>();
  /** Start of the turn in progress. */
  #virtualMs = 0;

  /** `count` more things wait for turns of `name`. */
  add(name: string, count = 1): void {
    const account = this.#accounts.get(name) ?? { finishMs: this.#virtualMs, waiting: 0 };
    account.waiting += count;
    this.#accounts.set(name, account);
  }

  /** No more than `count` of the things of `name` wait no longer: how many these were. */
  withdraw(name: string, count = Infinity): number {
    const account = this.#accounts.get(name);
    const withdrawn = Math.min(account?.waiting ?? 0, count);
    if (account !== undefined) account.waiting -= withdrawn;
    return withdrawn;
  }

  waitingOf(name: string): number {
    return this.#accounts.get(name)?.waiting ?? 0;
  }

  /** Whose turn it is, undefined where nothing waits; one thing of it waits no longer. */
  next(): string | undefined {
    return this.#begin(this.#least(() => true));
  }

  /**
   * In the midst of a turn of `name`: whose turn goes in between, as it has had less by now; none of `busy`, whose
   * turns are in progress too.
   */
  nextWithin(name: string, busy: ReadonlySet<string>): string | undefined {
    const limitMs = this.#accounts.get(name)?.finishMs ?? Infinity;
    return this.#begin(this.#least((other, { finishMs }) => !busy.has(other) && finishMs < limitMs));
  }

  #least(admits: (name: string, account: Account) => boolean): [string, Account] | undefined {
    let found: [string, Account] | undefined;
    for (const entry of this.#accounts) {
      if (entry[1].waiting === 0 || !admits(...entry)) continue;
      if (found === undefined || entry[1].finishMs < found[1].finishMs) found = entry;
    }
    return found;
  }

  #begin(found: [string, Account] | undefined): string | undefined {
    if (found === undefined) return undefined;
    const [name, account] = found;
    account.waiting--;
    this.#virtualMs = Math.max(this.#virtualMs, account.finishMs);
    return name;
  }

  /** The turn of `name` took so long. */
  charge(name: string, ms: number): void {
    const account = this.#accounts.get(name) ?? { finishMs: this.#virtualMs, waiting: 0 };
    this.#accounts.set(name, account);
    account.finishMs = Math.max(account.finishMs, this.#virtualMs) + ms;
    this.#forgetEven();
  }

  /** Who waits for nothing and is not ahead comes back as if new. */
  #forgetEven(): void {
    const idle = ![...this.#accounts.values()].some(({ waiting }) => waiting > 0);
    for (const [name, { waiting, finishMs }] of this.#accounts) {
      if (waiting === 0 && (idle || finishMs <= this.#virtualMs)) this.#accounts.delete(name);
    }
  }
}
