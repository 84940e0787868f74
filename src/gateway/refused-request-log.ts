import type { Cancel, Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { ConfigRefused } from '../config/config-refused.ts';
import type { Refusal } from '../admin/control-server.ts';
import type { AuditAct } from '../silo/protocol.ts';

/** A person who mistypes makes a few a minute; a program gone wild must not push years of audit log out. */
const notedPerMinuteMax = 10;
const minuteMs = 60_000;
/** Our longest method name has 7; the rest is somebody else's text. */
const methodLengthMax = 64;
const reasonLengthMax = 200;
const namesMax = 8;

/**
 * Refused requests on their way into every silo's audit log: the gateway that was asked is all tenants'.
 * Beyond so many a minute they are counted, and told as one.
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

  /** Tells what was only counted so far. */
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

  /** `times`: of how many it tells, where that is not itself alone. The silos add these up. */
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
 * What every tenant may read. A fault quotes the file, and so one tenant's part of it: of faults only their
 * number is told here. Whoever asked gets the whole text, and the daemon's own log has it.
 */
function reasonOf(error: unknown): string {
  if (error instanceof ConfigRefused) {
    const count = error.faults.length;
    return `the configuration has ${count === 1 ? '1 fault' : `${count} faults`}`;
  }
  if (!(error instanceof MerestoneError)) return 'an internal fault';
  return error.code.startsWith('Control') ? error.message : `it failed (E${error.number})`;
}
