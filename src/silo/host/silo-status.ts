import type { Clock } from '../../base/clock.ts';
import { blankSilo, type SiloStatus, type SiloUsage } from '../../status/status.ts';
import type { StartMessage } from '../protocol.ts';

/**
 * A silo's status as the gateway shows it: the silo's own report, under the name that the gateway gave it, with
 * measurements from outside. A silo serves one tenant and gateway for good: once named, they stay.
 */
export class SiloStatusView {
  readonly #clock: Clock;
  #status: SiloStatus;
  /** When the current state began; monotonic ms. */
  #sinceMs: number;

  constructor({ options }: StartMessage, clock: Clock) {
    const { name, isolation, batch } = options;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
    this.#status = {
      ...blankSilo(name, isolation.kind),
      batches: { lingerMs: batch.lingerMs, unacceptedMs: null },
    };
  }

  get status(): SiloStatus {
    return { ...this.#status, forMs: Math.round(this.#clock.monotonicMs() - this.#sinceMs) };
  }

  /** Takes over a report; false, and nothing is taken over, if the silo claims to be another tenant or gateway. */
  show(said: SiloStatus): boolean {
    const { name, tenant, gateway, usage, isolation, restarts } = this.#status;
    if (differs(tenant, said.tenant) || differs(gateway, said.gateway)) return false;
    const origin = { tenant: said.tenant ?? tenant, gateway: said.gateway ?? gateway };
    this.#change({ ...said, ...origin, name, usage, isolation, restarts });
    return true;
  }

  measured(usage: SiloUsage): void {
    this.#status = { ...this.#status, usage };
  }

  restarted(): void {
    this.#status = { ...this.#status, restarts: this.#status.restarts + 1 };
  }

  /** The isolate is gone: its last report of the session no longer holds. */
  gone(): void {
    const { uplink } = this.#status;
    const closed = uplink && { ...uplink, state: 'closed' as const, inflight: 0 };
    this.#status = { ...this.#status, usage: null, uplink: closed };
  }

  /** True if state or reason changed. */
  down(state: SiloStatus['state'], reason: string | null): boolean {
    const isNew = this.#status.state !== state || this.#status.reason !== reason;
    this.#change({ ...this.#status, state, reason });
    return isNew;
  }

  #change(status: SiloStatus): void {
    if (status.state !== this.#status.state) this.#sinceMs = this.#clock.monotonicMs();
    this.#status = status;
  }
}

function differs(was: string | null, is: string | null): boolean {
  return was !== null && is !== null && was !== is;
}
