import type { Cancel, Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { ConfigRefused } from '../config/config-refused.ts';
import type { Refusal } from '../admin/control-server.ts';
import type { AuditAct } from '../silo/protocol.ts';

/** A person who mistypes makes a few a minute; a faulty program must not push years of audit log out. */
const notedPerMinuteMax = 10;
const minuteMs = 60_000;
/** Our longest method name has 7 characters; a longer one is text from outside. */
const methodLengthMax = 64;
const reasonLengthMax = 200;
const namesMax = 8;

/**
 * Notes refused requests in every silo's audit log, because all tenants share the gateway. Beyond
 * `notedPerMinuteMax` a minute, requests are only counted, and one entry reports their number.
 */
export class RefusedRequestLog {
  readonly #clock: Clock;
  readonly #record: (act: AuditAct) => void;
  #noted = 0;
  #more = 0;
  readonly #moreBy = new Set<string>();
  #cancelMinute: Cancel | undefined;

  constructor(clock: Clock, record: (act: AuditAct) => void) {
    this.#clock = clock;
    this.#record = record;
  }

  add({ by, method, error }: Refusal): void {
    this.#cancelMinute ??= this.#clock.after(minuteMs, () => this.close());
    if (this.#noted < notedPerMinuteMax) {
      this.#noted += 1;
      return this.#note(by, method, reasonOf(error));
    }
    this.#more += 1;
    if (this.#moreBy.size < namesMax) this.#moreBy.add(by);
  }

  /** Reports the requests that were only counted so far. */
  close(): void {
    this.#cancelMinute?.();
    this.#cancelMinute = undefined;
    if (this.#more > 0) {
      this.#note([...this.#moreBy].join(', '), '-', 'more were refused within a minute', this.#more);
    }
    this.#noted = 0;
    this.#more = 0;
    this.#moreBy.clear();
  }

  /** `times`: how many requests the entry stands for; absent: one. The silos add these up. */
  #note(by: string, method: string, reason: string, times?: number): void {
    const details = {
      by,
      method: method.slice(0, methodLengthMax),
      reason: reason.slice(0, reasonLengthMax),
      ...(times !== undefined && { times }),
    };
    this.#record({ kind: 'refused-request', details });
  }
}

/**
 * The reason that every tenant may read. Each fault quotes the configuration file, and so one tenant's part of it:
 * only the number of faults goes here. The requesting user and the daemon's own log get the whole text.
 */
function reasonOf(error: unknown): string {
  if (error instanceof ConfigRefused) {
    const count = error.faults.length;
    return `the configuration has ${count === 1 ? '1 fault' : `${count} faults`}`;
  }
  if (!(error instanceof MerestoneError)) return 'an internal fault';
  return error.code.startsWith('Control') ? error.message : `it failed (E${error.number})`;
}
