import { describeError } from '../../base/error.ts';
import { inBackground } from '../../base/background.ts';
import { type RateLimits, TokenBucket } from '../../base/token-bucket.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { userName } from '../../base/user-name.ts';
import type { AuditAct } from '../protocol.ts';

type Refusal = Extract<AuditAct, { kind: 'refused-request' }>['details'];

/** Refusals with a log line each: a few show who it is; a peer that connects in a loop is then only counted. */
const single: RateLimits = { perSecond: 1 / 60, burst: 5 };
/** Interval of the reports on refusals that were only counted. */
const reportEveryMs = 60_000;
/** Users named in such a report. */
const usersMax = 5;
/** Refusals kept for the audit log until a gateway connects: one hour of a loop. */
const keptMax = 60;

interface Counted {
  times: number;
  uids: Set<number>;
}

/**
 * Reports refused peers of a silo's socket, in the log and to the silo for its audit log. A peer that connects in a
 * loop costs five lines and then one a minute, in the log, in the audit log, and in look-ups of names.
 */
export class RefusedPeerLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Returns false if no silo is running to note it. */
  readonly #note: (refusal: Refusal) => boolean;
  readonly #reason: string;
  readonly #single: TokenBucket;
  #counted: Counted | undefined;
  #kept: Refusal[] = [];
  #cancelReport: Cancel = () => {};

  constructor(
    { clock, logger }: { clock: Clock; logger: Logger },
    reason: string,
    note: (refusal: Refusal) => boolean,
  ) {
    this.#clock = clock;
    this.#logger = logger;
    this.#reason = reason;
    this.#note = note;
    this.#single = new TokenBucket(single, clock.monotonicMs());
  }

  /** A peer was refused. */
  async refused(uid: number, pid: number): Promise<void> {
    if (!this.#single.take(1, this.#clock.monotonicMs())) return this.#count(uid);
    const by = await userName(uid);
    this.#logger.warn('stranger refused', { user: by, pid });
    this.#keep({ by, method: 'connect', reason: this.#reason });
  }

  /** A silo is running and can note the kept refusals. */
  begun(): void {
    for (const refusal of this.#kept.splice(0)) this.#keep(refusal);
  }

  /** Reports the counted refusals by user id: a look-up of names may take too long for a stop. */
  close(): void {
    this.#cancelReport();
    if (this.#counted === undefined) return;
    const { times, uids } = this.#counted;
    this.#counted = undefined;
    this.#report(times, Array.from(uids, String));
  }

  async #settle(): Promise<void> {
    const { times, uids } = this.#counted!;
    this.#counted = undefined;
    this.#report(times, await Promise.all(Array.from(uids, userName)));
  }

  #report(times: number, users: string[]): void {
    const by = users.join(', ');
    this.#logger.warn('strangers refused', { users: by, times });
    this.#keep({ by, method: 'connect', reason: this.#reason, times });
  }

  #count(uid: number): void {
    if (this.#counted === undefined) {
      this.#counted = { times: 0, uids: new Set() };
      this.#cancelReport = this.#clock.after(reportEveryMs, () => {
        inBackground(this.#settle(), (error) => {
          this.#logger.warn('refused peers are not noted', { reason: describeError(error) });
        });
      });
    }
    this.#counted.times += 1;
    if (this.#counted.uids.size < usersMax) this.#counted.uids.add(uid);
  }

  /** Beyond `keptMax`, the last one counts all that follow. */
  #keep(refusal: Refusal): void {
    if (this.#note(refusal)) return;
    const last = this.#kept.at(-1);
    if (last === undefined || this.#kept.length < keptMax) this.#kept.push(refusal);
    else last.times = (last.times ?? 1) + (refusal.times ?? 1);
  }
}
