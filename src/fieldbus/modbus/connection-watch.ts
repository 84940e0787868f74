import type { GatewayQueue } from './gateway-queue.ts';

/**
 * A connection may be half open where so many requests in a row go unanswered, all to units that did answer on it.
 * A unit that was never heard says nothing about a connection on which others are.
 */
const silentRequestsMax = 3;
/**
 * One on which nothing was ever heard is of no use after two requests and so long: a gateway may be busy with others,
 * or with what was asked on the connection before. The longer, the more of them in a row were of no use.
 */
const unheardRequestsMax = 2;
const unheardMsMax = [6000, 12_000, 12_000, 12_000, 30_000, 60_000, 120_000, 300_000, 600_000];
/** While something that was asked before may hold the answers back, no frame for this long says that it is dead. */
const deadAfterMs = 10_000;

/** Judges by what comes and what does not whether a connection has to be made anew. */
export class ConnectionWatch {
  readonly #queue: GatewayQueue;
  /** Units heard on this connection. */
  readonly #heard = new Set<number>();
  #begunAtMs = 0;
  #lastFrameAtMs = 0;
  /** Requests without an answer since the last frame: to units heard on this connection, and to any. */
  #silent = 0;
  #unanswered = 0;

  constructor(queue: GatewayQueue) {
    this.#queue = queue;
  }

  /** It is another one. */
  begin(now: number): void {
    this.#heard.clear();
    this.#begunAtMs = now;
    this.#lastFrameAtMs = now;
    this.#silent = 0;
    this.#unanswered = 0;
  }

  heard(unitId: number, now: number): void {
    this.#heard.add(unitId);
    this.#lastFrameAtMs = now;
    this.#silent = 0;
    this.#unanswered = 0;
  }

  /** A request was not answered. Gives why the connection is to be made anew, or null. */
  missed(unitId: number, uselessConnections: number, now: number): string | null {
    this.#unanswered += 1;
    if (this.#heard.has(unitId)) this.#silent += 1;
    return this.#isDeaf(unitId, uselessConnections, now)
      ? `no answer to ${this.#unanswered} requests in a row`
      : null;
  }

  #isDeaf(unitId: number, uselessConnections: number, now: number): boolean {
    if (this.#heard.size === 0) {
      const max = unheardMsMax[Math.min(uselessConnections, unheardMsMax.length - 1)]!;
      return this.#unanswered >= unheardRequestsMax && now - this.#begunAtMs >= max;
    }
    if (this.#silent < silentRequestsMax) return false;
    return !this.#queue.mayBeHeld(unitId, now) || now - this.#lastFrameAtMs >= deadAfterMs;
  }
}
