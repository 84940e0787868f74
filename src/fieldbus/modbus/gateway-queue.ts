/** The longest that gateways to RS-485 can be set to wait for a unit, as far as their manuals say. */
const holdMsMax = 10_000;
/** An answer that took this much longer than usual waited for other requests. */
const delayMsMin = 50;

/** An unanswered request; no later request has been answered. */
interface Waiting {
  id: number;
  unitId: number;
  sentAtMs: number;
  isGivenUp: boolean;
}

/**
 * Models the queue of a gateway that serves one request at a time: while it waits for a silent unit, answers of other
 * units come late by the rest of that time. How long it waits is learned from the first such answer, and added to later
 * waits. Pure: times come in.
 */
export class GatewayQueue {
  /** In order of sending. */
  #waiting: Waiting[] = [];
  #holdMs = 0;
  /** When it was last known to be free. */
  #freeAtMs = 0;

  /** How long an unanswered request delays others; 0 if it does not, or unknown. */
  get holdMs(): number {
    return this.#holdMs;
  }

  sent(id: number, unitId: number, now: number): void {
    this.#waiting = this.#waiting.filter(({ sentAtMs }) => now - sentAtMs < 2 * holdMsMax);
    this.#waiting.push({ id, unitId, sentAtMs: now, isGivenUp: false });
  }

  /** When the gateway will serve request `id`, as far as known; at most the longest wait after its sending. */
  turnAtMs(id: number): number {
    const index = this.#waiting.findIndex((request) => request.id === id);
    if (index < 0) return 0;
    let freeAtMs = 0;
    for (const { sentAtMs } of this.#waiting.slice(0, index)) {
      freeAtMs = Math.max(freeAtMs, sentAtMs) + this.#holdMs;
    }
    const { sentAtMs } = this.#waiting[index]!;
    return Math.min(Math.max(freeAtMs, sentAtMs), sentAtMs + holdMsMax);
  }

  /** Whether another unit that was asked before may hold back the answer of this one. */
  mayBeHeld(unitId: number, now: number): boolean {
    return this.#waiting.some((other) => other.unitId !== unitId && now - other.sentAtMs < holdMsMax);
  }

  /**
   * The answer to `id` came, late or not, from a unit that usually takes `usualMs`. The gateway has finished all
   * requests before it. Returns how long the answer waited for them.
   */
  answered(id: number, usualMs: number, now: number): number {
    const index = this.#waiting.findIndex((request) => request.id === id);
    if (index < 0) return 0;
    const before = this.#waiting.slice(0, index);
    const { sentAtMs } = this.#waiting[index]!;
    const behindMs = Math.max(0, this.#freeAtMs - sentAtMs);
    this.#waiting = this.#waiting.slice(index + 1);
    this.#freeAtMs = now;
    const [first] = before;
    if (first === undefined) return behindMs;
    const delayMs = now - sentAtMs - usualMs;
    const isDelayed = delayMs > Math.max(delayMsMin, usualMs);
    const eachMs = Math.max(0, now - usualMs - first.sentAtMs) / before.length;
    // Not delayed, it shows only that no earlier request blocks the gateway beyond now.
    this.#holdMs = Math.min(holdMsMax, isDelayed ? eachMs : Math.min(this.#holdMs, eachMs));
    return isDelayed ? delayMs : behindMs;
  }

  /** The gateway itself reports that the unit of `id` is silent, which tells how long it waited. */
  gaveUp(id: number, now: number): void {
    const turnAtMs = this.turnAtMs(id);
    const index = this.#waiting.findIndex((request) => request.id === id);
    if (index < 0) return;
    this.#waiting = this.#waiting.slice(index + 1);
    this.#freeAtMs = now;
    this.#holdMs = Math.min(holdMsMax, Math.max(0, now - turnAtMs));
  }

  /**
   * Earliest time to ask the unit again: its request and a later one of another unit were given up, so both are still
   * in the queue, and another request would only lengthen it.
   */
  againAtMs(unitId: number): number {
    const index = this.#waiting.findIndex((request) => request.isGivenUp && request.unitId === unitId);
    const isBlocked = this.#waiting
      .slice(index + 1)
      .some((later) => later.isGivenUp && later.unitId !== unitId);
    return index >= 0 && isBlocked ? this.#waiting[index]!.sentAtMs + holdMsMax : 0;
  }

  /** Request `id` is given up. Returns how much longer it blocks the gateway. */
  giveUp(id: number, now: number): number {
    for (const request of this.#waiting) if (request.id === id) request.isGivenUp = true;
    return Math.max(0, this.turnAtMs(id) + this.#holdMs - now);
  }

  /** Starts over for a new connection. */
  clear(): void {
    this.#waiting = [];
  }
}
