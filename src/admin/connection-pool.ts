import type { Clock } from '../base/clock.ts';

/** What the pool must know of a connection. */
export interface PooledConnection {
  /** Who is at the other end: an address, or a user of this box. */
  peer: string;
  /** Ends it at once, for a newer one. */
  evict(): void;
}

export interface PoolLimits {
  /** Connections that may stay until their timeouts end them. */
  restingMax: number;
  /** These and the connections in their first second, together. */
  allMax: number;
}

/** A client sends its request together with its connection; a busy one needs some hundred ms more. */
const graceMs = 1000;

/**
 * The connections of a server. A full pool evicts an old connection for a new one and never refuses the new one
 * first: a peer that opens many idle or slow connections evicts its own, and a health check still gets in.
 *
 * 1. The pool evicts first from the peer with the most connections, and there the longest idle connection.
 * 2. A busy connection, whose answer is being made, is evicted only if its peer has more busy connections than
 *    the new connection's peer has connections.
 * 3. No connection is evicted within its first second, unless `allMax` is reached.
 */
export class ConnectionPool<Connection extends PooledConnection> {
  readonly #limits: PoolLimits;
  readonly #clock: Clock;
  /** Idle connections and since when (monotonic ms); the longest idle first. */
  readonly #waiting = new Map<Connection, number>();
  readonly #held = new Set<Connection>();
  readonly #countByPeer = new Map<string, number>();

  constructor(limits: PoolLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#waiting.size + this.#held.size;
  }

  /** Adds a connection, and evicts an old one if the pool is full; false if none may be evicted for it. */
  add(connection: Connection): boolean {
    this.#shrinkTo(this.#limits.restingMax - 1, () => this.#oldestWaiting(graceMs));
    this.#shrinkTo(
      this.#limits.allMax - 1,
      () => this.#oldestWaiting(0) ?? this.#oldestHeld(this.#countOf(connection.peer) + 1),
    );
    if (this.size >= this.#limits.allMax) return false;
    this.#waiting.set(connection, this.#clock.monotonicMs());
    this.#countByPeer.set(connection.peer, this.#countOf(connection.peer) + 1);
    return true;
  }

  /** It has sent a whole request, and waits for its next from now on. */
  asked(connection: Connection): void {
    if (!this.#waiting.delete(connection)) return;
    this.#waiting.set(connection, this.#clock.monotonicMs());
  }

  /** The connection is busy: its answer is being made. */
  hold(connection: Connection): void {
    if (this.#waiting.delete(connection)) this.#held.add(connection);
  }

  /** The connection is idle: it waits for its next request. */
  release(connection: Connection): void {
    if (this.#held.delete(connection)) this.#waiting.set(connection, this.#clock.monotonicMs());
  }

  remove(connection: Connection): void {
    if (!this.#waiting.delete(connection) && !this.#held.delete(connection)) return;
    const left = this.#countOf(connection.peer) - 1;
    if (left > 0) this.#countByPeer.set(connection.peer, left);
    else this.#countByPeer.delete(connection.peer);
  }

  *[Symbol.iterator](): Iterator<Connection> {
    yield* [...this.#waiting.keys(), ...this.#held];
  }

  #shrinkTo(size: number, next: () => Connection | undefined): void {
    while (this.size > size) {
      const connection = next();
      if (connection === undefined) return;
      this.remove(connection);
      connection.evict();
    }
  }

  #oldestWaiting(ageMs: number): Connection | undefined {
    const latestMs = this.#clock.monotonicMs() - ageMs;
    const old: Connection[] = [];
    for (const [connection, sinceMs] of this.#waiting) {
      if (sinceMs > latestMs) break;
      old.push(connection);
    }
    return this.#ofBusiestPeer(old);
  }

  #oldestHeld(fairShare: number): Connection | undefined {
    return this.#ofBusiestPeer([...this.#held].filter(({ peer }) => this.#countOf(peer) > fairShare));
  }

  /** The first of the peer that has the most connections. */
  #ofBusiestPeer(connections: readonly Connection[]): Connection | undefined {
    let found: Connection | undefined;
    for (const each of connections) {
      if (found === undefined || this.#countOf(each.peer) > this.#countOf(found.peer)) found = each;
    }
    return found;
  }

  #countOf(peer: string): number {
    return this.#countByPeer.get(peer) ?? 0;
  }
}
