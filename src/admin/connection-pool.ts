import type { Clock } from '../base/clock.ts';

/** What the pool must know of a connection. */
export interface PooledConnection {
  /** Who is at the other end: an address, or a user of this box. */
  peer: string;
  /** Ends it at once, for a newer one. */
  evict(): void;
}

export interface PoolLimits {
  /** Connections that may stay for as long as their timeouts let them. */
  restingMax: number;
  /** Together with those that came just now. */
  allMax: number;
}

/** A client sends its request together with its connection; a busy one needs some hundred ms more. */
const graceMs = 1000;

/**
 * The connections of a server. A full pool ends an old connection for a new one, never the other way round: who
 * opens many and says nothing, drips or does not read costs himself, and a health check finds its place.
 *
 * 1. What goes first is the connection that asked last the longest ago, of the peer that has the most.
 * 2. A connection that is held, since an answer is being made for it, goes only where its peer holds more than
 *    the new one's peer has.
 * 3. No connection goes within its first second, unless `allMax` is reached.
 */
export class ConnectionPool<Connection extends PooledConnection> {
  readonly #limits: PoolLimits;
  readonly #clock: Clock;
  /** Of those that wait for a request, since when; the one that waits longest first. */
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

  /** Takes a connection in, in the place of an old one where it must; false where none may go for it. */
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

  /** Its answer is being made. */
  hold(connection: Connection): void {
    if (this.#waiting.delete(connection)) this.#held.add(connection);
  }

  /** It waits for its next request. */
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
