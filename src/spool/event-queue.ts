import type { EventBody, StreamEvent } from '../messages/event.ts';
import type { SpoolFile, NextLedger } from './state/spool-file.ts';
import { continueRun, lostReports } from './recovery/loss-report.ts';
import { ascending, countOf, difference, has, runsOf, withMember, withoutMember } from '../base/ranges.ts';
import { ulid } from '../base/ulid.ts';

export interface LeasedEvent {
  id: string;
  /** The StreamEvent's JSON. */
  payload: Buffer;
  number: number;
}

/** One a minute for a week: no one reads more than that. */
const eventsMax = 10_000;

/** Events that the cloud has not taken yet. */
export class EventQueue {
  readonly #spoolFile: SpoolFile;
  /** Numbers of the events in flight, by their id. */
  readonly #leased = new Map<string, number>();
  /** The last event, for as long as its run may grow: not leased, and surely in the file. */
  #growing: { number: number; event: StreamEvent } | undefined;

  constructor(spoolFile: SpoolFile) {
    this.#spoolFile = spoolFile;
  }

  /** Within a commit. One event for a run of the same: it grows until it is leased. */
  note(next: NextLedger, body: EventBody): void {
    const continued = this.#growing && continueRun(this.#growing.event, body);
    if (this.#growing !== undefined && continued !== undefined) {
      this.#growing = { ...this.#growing, event: { ...this.#growing.event, ...continued } };
      return this.#write(this.#growing);
    }
    this.#append(next, body);
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
    for (const number of ascending(this.#spoolFile.ledger.events)) {
      if (events.length >= count) break;
      if (leased.has(number)) continue;
      const payload = this.#spoolFile.readEntry('event', number);
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
   * Within a commit: these reports cannot be read any more, so everything missing up to the head may be
   * what they explained. The rows stay, for the reason that removal.ts gives.
   */
  markDamaged(next: NextLedger, numbers: readonly number[]): void {
    for (const number of numbers) next.events = withoutMember(next.events, number);
    this.note(next, lostReports(next.head, `${numbers.length} reports were damaged on disk`));
  }

  /** Ends the lease of events that were removed, or are to be leased again. */
  release(ids: readonly string[]): void {
    for (const id of ids) this.#leased.delete(id);
  }

  /** Within a commit: leased events leave for good. */
  remove(next: NextLedger, ids: readonly string[]): void {
    for (const id of ids) {
      const number = this.#leased.get(id);
      if (number === undefined || !has(next.events, number)) continue;
      next.events = withoutMember(next.events, number);
      this.#spoolFile.database.deleteEntry(number);
    }
  }

  /** The older half gives way to one report in place of it. */
  #condense(next: NextLedger): void {
    const oldest = [...ascending(next.events)].slice(0, eventsMax / 2);
    for (const number of oldest) {
      // A damaged row stays, for the reason that removal.ts gives.
      if (this.#spoolFile.readEntry('event', number) !== undefined)
        this.#spoolFile.database.deleteEntry(number);
    }
    next.events = difference(next.events, runsOf(oldest));
    this.#growing = undefined;
    this.#append(next, lostReports(next.head, `${oldest.length} older reports gave way to newer ones`));
  }

  /** Within a commit: one that was noted elsewhere, with its id and time. */
  keep(next: NextLedger, event: StreamEvent): void {
    if (countOf(next.events) >= eventsMax) this.#condense(next);
    this.#growing = { number: next.nextEntry, event };
    next.events = withMember(next.events, next.nextEntry);
    next.nextEntry += 1;
    this.#write(this.#growing);
  }

  #append(next: NextLedger, body: EventBody): void {
    this.keep(next, this.#stamp(body));
  }

  #write({ number, event }: { number: number; event: StreamEvent }): void {
    this.#spoolFile.writeEntry('event', number, Buffer.from(JSON.stringify(event)));
  }

  #stamp(body: EventBody): StreamEvent {
    const at = this.#spoolFile.clock.wallMs();
    return { v: 1, ...this.#spoolFile.origin, id: ulid(at), at, ...body };
  }
}

function idOf(payload: Buffer): string {
  return (JSON.parse(payload.toString()) as StreamEvent).id;
}
