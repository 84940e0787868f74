import type { Clock } from '../base/clock.ts';
import type { Origin } from '../messages/topic.ts';
import type { Notice } from './notice.ts';

interface Undescribed {
  origin: Origin;
  sinceMs: number;
  rows: number;
  isTold: boolean;
}

/** `meta` comes right after a gateway's first batch where the broker has to be asked for it. */
const graceMs = 10_000;
const gatewaysMax = 10_000;

/** Gateways whose rows have no units, as their `meta` never came. Says so once for each. */
export class UnitWatch {
  readonly #clock: Clock;
  readonly #undescribed = new Map<string, Undescribed>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rows were written of a gateway without a `meta` yet. */
  noteRows(origin: Origin, rows: number): void {
    const name = nameOf(origin);
    const known = this.#undescribed.get(name);
    if (known !== undefined) known.rows += rows;
    else if (this.#undescribed.size < gatewaysMax) {
      const { tenant, gateway } = origin;
      const sinceMs = this.#clock.monotonicMs();
      this.#undescribed.set(name, { origin: { tenant, gateway }, sinceMs, rows, isTold: false });
    }
  }

  /** Its `meta` came: what was written before stays without units. */
  describe(origin: Origin): Notice | undefined {
    const known = this.#undescribed.get(nameOf(origin));
    if (known === undefined) return undefined;
    this.#undescribed.delete(nameOf(origin));
    const message = `meta came; ${known.rows} rows were written before, with units that are null`;
    const details = { rows: known.rows };
    return { severity: 'info', kind: 'meta-late', message, origin: known.origin, details };
  }

  /** Those that have waited for long enough. */
  check(): Notice[] {
    const nowMs = this.#clock.monotonicMs();
    const due = [...this.#undescribed.values()].filter(
      ({ isTold, sinceMs }) => !isTold && nowMs - sinceMs >= graceMs,
    );
    return due.map((each) => {
      each.isTold = true;
      return noMeta(each);
    });
  }
}

function noMeta({ origin, rows }: Undescribed): Notice {
  const topic = `t/${origin.tenant}/${origin.gateway}/meta`;
  const message =
    `no meta came: units of its rows are null (${rows} rows so far). The broker keeps nothing at ${topic}, or ` +
    `gives it to nobody: check that it keeps retained messages and lets us read this topic by name, and restart ` +
    `the gateway's session`;
  return { severity: 'warning', kind: 'no-meta', message, origin, details: { rows } };
}

function nameOf({ tenant, gateway }: Origin): string {
  return `${tenant}/${gateway}`;
}
