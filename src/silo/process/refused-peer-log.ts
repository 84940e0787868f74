import { describeError } from '../../base/error.ts';
import { inBackground } from '../../base/background.ts';
import { type RateLimits, TokenBucket } from '../../base/token-bucket.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { userName } from '../../base/user-name.ts';
import type { AuditAct } from '../protocol.ts';

type Refusal = Extract<AuditAct, { kind: 'refused-request' }>['details'];

/** Told one by one: a few show who it is, and whoever knocks in a loop is then counted. */
const single: RateLimits = { perSecond: 1 / 60, burst: 5 };
/** How often those that were only counted are told of. */
const reportEveryMs = 60_000;
/** Users by name in such a line. */
const usersMax = 5;
/** What waits for a gateway, so that the audit log has it: an hour of knocking. */
const keptMax = 60;

interface Counted {
  times: number;
  uids: Set<number>;
}

/**
 * Tells of strangers at a silo's door, in the log and to the silo for its audit log. Whoever knocks in a loop costs
 * five lines and then one a minute: no more of the log, of look-ups of names, or of the audit log.
 */
export class RefusedPeerLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** False where no silo is there to note it. */
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

  /** Somebody knocked whom the door is not open for. */
  async knocked(uid: number, pid: number): Promise<void> {
    if (!this.#single.take(1, this.#clock.monotonicMs())) return this.#count(uid);
    const by = await userName(uid);
    this.#logger.warn('stranger refused', { user: by, pid });
    this.#keep({ by, method: 'connect', reason: this.#reason });
  }

  /** A silo is there to note what was kept. */
  begun(): void {
    for (const refusal of this.#kept.splice(0)) this.#keep(refusal);
  }

  /** Tells of those that were only counted, by their numbers: a look-up of names may take its time. */
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
          this.#logger.warn('strangers are not noted', { reason: describeError(error) });
        });
      });
    }
    this.#counted.times += 1;
    if (this.#counted.uids.size < usersMax) this.#counted.uids.add(uid);
  }

  /** Where there are too many, the last stands for those that came after it. */
  #keep(refusal: Refusal): void {
    if (this.#note(refusal)) return;
    const last = this.#kept.at(-1);
    if (last === undefined || this.#kept.length < keptMax) this.#kept.push(refusal);
    else last.times = (last.times ?? 1) + (refusal.times ?? 1);
  }
}
