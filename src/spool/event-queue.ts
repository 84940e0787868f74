import type { EventBody, StreamEvent } from '../messages/event.ts';
import type { Books, Draft } from './state/spool-file.ts';
import { continueRun, lostReports } from './recovery/loss-report.ts';
import { ascending, countOf, difference, has, runsOf, withMember, withoutMember } from '../base/ranges.ts';
import { ulid } from '../base/ulid.ts';

export interface LeasedEvent {
  id: string;
  /** The StreamEvent's JSON. */
  payload: Buffer;
  number: number;
}

/** One a minute for a week; what makes more than that has nobody who reads them. */
const eventsMax = 10_000;

/** Events that the cloud has not taken yet. */
export class Outbox {
  readonly #books: Books;
  /** Numbers of the events in flight, by their id. */
  readonly #leased = new Map<string, number>();
  /** The last event, for as long as its run may grow: not leased, and surely in the file. */
  #growing: { number: number; event: StreamEvent } | undefined;

  constructor(books: Books) {
    this.#books = books;
  }

  /** Within a commit. One event for a run of the same: it grows until it is leased. */
  note(draft: Draft, body: EventBody): void {
    const continued = this.#growing && continueRun(this.#growing.event, body);
    if (this.#growing !== undefined && continued !== undefined) {
      this.#growing = { ...this.#growing, event: { ...this.#growing.event, ...continued } };
      return this.#write(this.#growing);
    }
    this.#append(draft, body);
  }

  /** After a commit that failed: what was noted in it is not in the file. */
  rolledBack(): void {
    this.#growing = undefined;
  }

  /** Up to `count` of the oldest that are not leased, to be leased, and the numbers of damaged ones. */
  next(count: number): { events: LeasedEvent[]; damaged: number[] } {
    const events: LeasedEvent[] = [];
    const damaged: number[] = [];
    const leased = new Set(this.#leased.values());
    for (const number of ascending(this.#books.ledger.events)) {
      if (events.length >= count) break;
      if (leased.has(number)) continue;
      const payload = this.#books.readEntry('event', number);
      if (payload === undefined) damaged.push(number);
      else events.push({ id: idOf(payload), payload, number });
    }
    return { events, damaged };
  }

  lease(events: readonly LeasedEvent[]): void {
    for (const { id, number } of events) {
      if (this.#growing?.number === number) this.#growing = undefined;
      this.#leased.set(id, number);
    }
  }

  /**
   * Within a commit: these reports cannot be read any more, so whatever is missing up to the head may be
   * what they explained. The rows stay, for the reason that departure.ts gives.
   */
  condemn(draft: Draft, numbers: readonly number[]): void {
    for (const number of numbers) draft.events = withoutMember(draft.events, number);
    this.note(draft, lostReports(draft.head, `${numbers.length} reports were damaged on disk`));
  }

  /** Ends the lease of events that were removed, or are to be leased again. */
  release(ids: readonly string[]): void {
    for (const id of ids) this.#leased.delete(id);
  }

  /** Within a commit: leased events leave for good. */
  remove(draft: Draft, ids: readonly string[]): void {
    for (const id of ids) {
      const number = this.#leased.get(id);
      if (number === undefined || !has(draft.events, number)) continue;
      draft.events = withoutMember(draft.events, number);
      this.#books.store.deleteEntry(number);
    }
  }

  /** The older half gives way to one report in place of it. */
  #condense(draft: Draft): void {
    const oldest = [...ascending(draft.events)].slice(0, eventsMax / 2);
    for (const number of oldest) {
      // A damaged row stays, for the reason that departure.ts gives.
      if (this.#books.readEntry('event', number) !== undefined) this.#books.store.deleteEntry(number);
    }
    draft.events = difference(draft.events, runsOf(oldest));
    this.#growing = undefined;
    this.#append(draft, lostReports(draft.head, `${oldest.length} older reports gave way to newer ones`));
  }

  /** Within a commit: one that was noted elsewhere, with its id and time. */
  keep(draft: Draft, event: StreamEvent): void {
    if (countOf(draft.events) >= eventsMax) this.#condense(draft);
    this.#growing = { number: draft.nextEntry, event };
    draft.events = withMember(draft.events, draft.nextEntry);
    draft.nextEntry += 1;
    this.#write(this.#growing);
  }

  #append(draft: Draft, body: EventBody): void {
    this.keep(draft, this.#stamp(body));
  }

  #write({ number, event }: { number: number; event: StreamEvent }): void {
    this.#books.writeEntry('event', number, Buffer.from(JSON.stringify(event)));
  }

  #stamp(body: EventBody): StreamEvent {
    const at = this.#books.clock.wallMs();
    return { v: 1, ...this.#books.origin, id: ulid(at), at, ...body };
  }
}

function idOf(payload: Buffer): string {
  return (JSON.parse(payload.toString()) as StreamEvent).id;
}
