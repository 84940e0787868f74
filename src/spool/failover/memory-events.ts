import type { EventBody, StreamEvent } from '../../messages/event.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import { continueRun } from '../recovery/loss-report.ts';
import type { LeasedEvent } from '../event-queue.ts';
import { ulid } from '../../base/ulid.ts';

/** Events are rare, and runs of losses are one event: this many tell of days. */
const eventsMax = 256;

/** Events for as long as no disk takes them; the oldest give way. */
export class MemoryEvents {
  readonly #origin: OwnedOrigin;
  #events: { event: StreamEvent; isLeased: boolean }[] = [];
  #lost = 0;

  constructor(origin: OwnedOrigin) {
    this.#origin = origin;
  }

  get count(): number {
    return this.#events.length;
  }

  /** Events that gave way to newer ones. */
  get lost(): number {
    return this.#lost;
  }

  add(body: EventBody, wallMs: number): void {
    const last = this.#events.at(-1);
    const continued = last && !last.isLeased ? continueRun(last.event, body) : undefined;
    if (last !== undefined && continued !== undefined) {
      last.event = { ...last.event, ...continued };
      return;
    }
    const event: StreamEvent = { v: 1, ...this.#origin, id: ulid(wallMs), at: wallMs, ...body };
    this.#events.push({ event, isLeased: false });
    if (this.#events.length > eventsMax) {
      this.#events.shift();
      this.#lost += 1;
    }
  }

  /** Up to `count` of the oldest that are not leased. */
  lease(count: number): LeasedEvent[] {
    const due = this.#events.filter(({ isLeased }) => !isLeased).slice(0, count);
    for (const each of due) each.isLeased = true;
    return due.map(({ event }) => ({
      id: event.id,
      payload: Buffer.from(JSON.stringify(event)),
      number: -1,
    }));
  }

  has(id: string): boolean {
    return this.#events.some(({ event }) => event.id === id);
  }

  settle(ids: readonly string[]): void {
    this.#events = this.#events.filter(({ event }) => !ids.includes(event.id));
  }

  release(ids: readonly string[]): void {
    for (const each of this.#events) if (ids.includes(each.event.id)) each.isLeased = false;
  }

  /** The oldest that is not in flight; `remove` by `settle`. */
  get oldest(): StreamEvent | undefined {
    return this.#events.find(({ isLeased }) => !isLeased)?.event;
  }
}
