import { ascending, has, type Runs } from '../../base/ranges.ts';

/**
 * More live batches than this waiting is an outage, not a busy second: at 10,000 readings a second, in
 * batches of 500, a second makes 20.
 */
const liveMax = 64;

/** `live-first`: the newest, then what came back, then the backlog. `fifo`: strictly as they came. */
export type Order = 'live-first' | 'fifo';

/** `live`: the backlog stays where it is, and what came back with it. */
export type Reach = 'all' | 'live';

/**
 * Which waiting batches are in flight, and which is next. There are three queues: live batches (the newest),
 * those that came back unanswered, and the backlog. When there are too many live batches, all but the newest
 * join the backlog, so fresh data never waits behind an outage. What came back goes before the backlog, so
 * repeated loss of the session leaves no single batches behind. Each queue keeps its order.
 */
export class Leases {
  /** Position → samples. */
  readonly #leased = new Map<number, number>();
  /** Was leased once, and waits again. */
  readonly #returned = new Set<number>();
  /** Positions from here on are live. All that is found at opening is backlog. */
  #liveFrom: number;

  constructor(liveFrom: number) {
    this.#liveFrom = liveFrom;
  }

  /** Positions to lease, in their order; nothing may be leased or released while it is walked. */
  *candidates(waiting: Runs, order: Order, reach: Reach): Generator<number> {
    if (order === 'fifo') {
      const oldest = waiting[0]?.[0] ?? Infinity;
      // Nothing may overtake a backlog that has to wait.
      if (reach === 'all' || oldest >= this.#liveFrom) yield* this.#free(waiting, 0, Infinity);
      return;
    }
    this.#shedOverflow(waiting);
    yield* this.#free(waiting, this.#liveFrom, Infinity);
    if (reach === 'live') return;
    const returned = [...this.#returned].filter((position) => position < this.#liveFrom);
    yield* returned.sort((a, b) => a - b).filter((position) => has(waiting, position));
    for (const position of this.#free(waiting, 0, this.#liveFrom)) {
      if (!this.#returned.has(position)) yield position;
    }
  }

  /** What comes from `position` on is live, and all before it is backlog. */
  beginLive(position: number): void {
    this.#liveFrom = Math.max(this.#liveFrom, position);
  }

  isLeased(position: number): boolean {
    return this.#leased.has(position);
  }

  /** Of a leased batch; undefined where it is not leased. */
  samplesOf(position: number): number | undefined {
    return this.#leased.get(position);
  }

  lease(position: number, samples: number): void {
    this.#returned.delete(position);
    this.#leased.set(position, samples);
  }

  /** It is settled. */
  release(position: number): void {
    this.#leased.delete(position);
  }

  /** It waits again. */
  giveBack(position: number): void {
    if (this.#leased.delete(position)) this.#returned.add(position);
  }

  #shedOverflow(waiting: Runs): void {
    let live = 0;
    for (const _ of this.#free(waiting, this.#liveFrom, Infinity)) {
      live += 1;
      if (live > liveMax) {
        this.#liveFrom = waiting.at(-1)![1];
        return;
      }
    }
  }

  *#free(waiting: Runs, from: number, before: number): Generator<number> {
    for (const position of ascending(waiting, from)) {
      if (position >= before) return;
      if (!this.#leased.has(position)) yield position;
    }
  }
}
