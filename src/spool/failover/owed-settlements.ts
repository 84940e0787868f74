import type { BatchRef } from '../batches/dispatch.ts';
import type { Spool } from '../spool.ts';

/** Asks something of the spool; undefined where its disk refused. */
export type Attempt = <T>(work: (spool: Spool) => T) => T | undefined;

/** What the broker said while the disk could not be told: of refused batches and of delivered events. */
export class OwedSettlements {
  #rejected: (BatchRef & { reason: string })[] = [];
  #events: string[] = [];

  reject(refs: readonly (BatchRef & { reason: string })[]): void {
    this.#rejected.push(...refs);
  }

  settleEvents(ids: readonly string[]): void {
    this.#events.push(...ids);
  }

  /** Whether the broker has this event. */
  hasEvent(id: string): boolean {
    return this.#events.includes(id);
  }

  /** Tells the disk, as far as it takes it. */
  pay(attempt: Attempt): void {
    const [rejected, events] = [this.#rejected, this.#events];
    if (rejected.length > 0 && attempt((spool) => (spool.settle({ rejected }), true)) === true) {
      this.#rejected = [];
    }
    if (events.length > 0 && attempt((spool) => (spool.settleEvents(events), true)) === true) {
      this.#events = [];
    }
  }
}
