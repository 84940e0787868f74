import type { GatewayQueue } from './gateway-queue.ts';

/**
 * A connection may be half open if this many requests in a row go unanswered, all to units that did answer on it.
 * A unit that never answered says nothing about a connection on which others did.
 */
const silentRequestsMax = 3;
/**
 * A connection without any frame is given up after two requests and this time: a gateway may be busy with other
 * clients, or with requests of the connection before. The time grows with each useless connection in a row.
 */
const unheardRequestsMax = 2;
const unheardMsMax = [6000, 12_000, 12_000, 12_000, 30_000, 60_000, 120_000, 300_000, 600_000];
/** If an earlier request may be delaying the answers, the connection is dead only after this long without a frame. */
const deadAfterMs = 10_000;

/** Decides, from frames and missing answers, whether to replace a connection. */
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

  /** Starts over for a new connection. */
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

  /** Counts an unanswered request. Returns why the connection must be replaced, or null. */
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
