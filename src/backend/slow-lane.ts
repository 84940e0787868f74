import type { Cancel, Clock } from '../base/clock.ts';
import type { Origin } from '../messages/topic.ts';

interface Slowed {
  origin: Origin;
  messages: number;
  cancel: Cancel;
}

/** Gateways whose messages wait for a time before they wait for their turns. */
export class SlowLane {
  readonly #clock: Clock;
  readonly #onDue: (origin: Origin, messages: number) => void;
  readonly #slowed = new Map<string, Slowed>();

  constructor(clock: Clock, onDue: (origin: Origin, messages: number) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  has(origin: Origin): boolean {
    return this.#slowed.has(nameOf(origin));
  }

  /** One more message of a gateway that is slowed: false where it is not. */
  add(origin: Origin): boolean {
    const slowed = this.#slowed.get(nameOf(origin));
    if (slowed !== undefined) slowed.messages++;
    return slowed !== undefined;
  }

  /** One message less: false where it is not slowed. */
  drop(origin: Origin): boolean {
    const slowed = this.#slowed.get(nameOf(origin));
    if (slowed !== undefined) slowed.messages--;
    return slowed !== undefined;
  }

  /** The next turn of this gateway, of which this many messages wait, is due after `delayMs`. */
  slow(origin: Origin, messages: number, delayMs: number): void {
    const cancel = this.#clock.after(delayMs, () => this.#release(nameOf(origin)));
    this.#slowed.set(nameOf(origin), { origin, messages, cancel });
  }

  end(): void {
    for (const { cancel } of this.#slowed.values()) cancel();
    this.#slowed.clear();
  }

  #release(name: string): void {
    const { origin, messages } = this.#slowed.get(name)!;
    this.#slowed.delete(name);
    this.#onDue(origin, messages);
  }
}

function nameOf({ tenant, gateway }: Origin): string {
  return `${tenant}/${gateway}`;
}
