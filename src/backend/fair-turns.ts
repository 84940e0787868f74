/** One that takes turns: what it has had, in the virtual time of those that it shares with. */
interface Participant {
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
  readonly #participants = new Map<string, Participant>();
  /** Start of the turn in progress. */
  #virtualMs = 0;

  /** `count` more things wait for turns of `name`. */
  add(name: string, count = 1): void {
    const participant = this.#participants.get(name) ?? { finishMs: this.#virtualMs, waiting: 0 };
    participant.waiting += count;
    this.#participants.set(name, participant);
  }

  /** No more than `count` of the things of `name` wait no longer: how many these were. */
  withdraw(name: string, count = Infinity): number {
    const participant = this.#participants.get(name);
    const withdrawn = Math.min(participant?.waiting ?? 0, count);
    if (participant !== undefined) participant.waiting -= withdrawn;
    return withdrawn;
  }

  waitingOf(name: string): number {
    return this.#participants.get(name)?.waiting ?? 0;
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
    const limitMs = this.#participants.get(name)?.finishMs ?? Infinity;
    return this.#begin(this.#least((other, { finishMs }) => !busy.has(other) && finishMs < limitMs));
  }

  #least(admits: (name: string, participant: Participant) => boolean): [string, Participant] | undefined {
    let found: [string, Participant] | undefined;
    for (const entry of this.#participants) {
      if (entry[1].waiting === 0 || !admits(...entry)) continue;
      if (found === undefined || entry[1].finishMs < found[1].finishMs) found = entry;
    }
    return found;
  }

  #begin(found: [string, Participant] | undefined): string | undefined {
    if (found === undefined) return undefined;
    const [name, participant] = found;
    participant.waiting--;
    this.#virtualMs = Math.max(this.#virtualMs, participant.finishMs);
    return name;
  }

  /** The turn of `name` took so long. */
  charge(name: string, ms: number): void {
    const participant = this.#participants.get(name) ?? { finishMs: this.#virtualMs, waiting: 0 };
    this.#participants.set(name, participant);
    participant.finishMs = Math.max(participant.finishMs, this.#virtualMs) + ms;
    this.#forgetEven();
  }

  /** Who waits for nothing and is not ahead comes back as if new. */
  #forgetEven(): void {
    const idle = ![...this.#participants.values()].some(({ waiting }) => waiting > 0);
    for (const [name, { waiting, finishMs }] of this.#participants) {
      if (waiting === 0 && (idle || finishMs <= this.#virtualMs)) this.#participants.delete(name);
    }
  }
}
