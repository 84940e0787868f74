import type { Cancel, Clock } from '../../base/clock.ts';

/** Requests are answered within a turn of the silo's loop; a disk may hold that up for some seconds. */
const timeoutMs = 10_000;

interface PendingRequest {
  resolve(batches: number): void;
  reject(error: Error): void;
  cancelTimeout: Cancel;
}

/** Requests to a silo that are not answered yet. */
export class PendingRequests {
  readonly #clock: Clock;
  /** Makes the error for a request that will get no answer, from the state at that time. */
  readonly #unanswered: () => Error;
  readonly #pending = new Map<number, PendingRequest>();
  #id = 0;

  constructor(clock: Clock, unanswered: () => Error) {
    this.#clock = clock;
    this.#unanswered = unanswered;
  }

  /** Calls `send` with the request's id; resolves with the silo's answer. */
  ask(send: (id: number) => void): Promise<number> {
    this.#id += 1;
    const id = this.#id;
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.#clock.after(timeoutMs, () => this.reject(id, this.#unanswered()));
      this.#pending.set(id, { resolve, reject, cancelTimeout });
      send(id);
    });
  }

  resolve(id: number, batches: number): void {
    this.#take(id)?.resolve(batches);
  }

  reject(id: number, error: Error): void {
    this.#take(id)?.reject(error);
  }

  /** The silo is gone: no request will be answered. */
  rejectAll(): void {
    for (const id of Array.from(this.#pending.keys())) this.reject(id, this.#unanswered());
  }

  #take(id: number): PendingRequest | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.cancelTimeout();
    return pending;
  }
}
