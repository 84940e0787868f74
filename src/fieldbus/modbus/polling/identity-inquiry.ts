import { backoffMs } from '../../../base/backoff.ts';
import type { IdentityCheckStatus } from '../../../status/status.ts';
import type { Outcome } from '../modbus-client.ts';
import { isAboutTheRequest } from '../exception.ts';
import { findingOf } from '../identity-check.ts';
import type { IdentityCheck } from '../../options.ts';

/** What was found is looked at again after this long: a device may be exchanged between two of its polls. */
const againMs = 900_000;
/** One that says it is another is asked again sooner: somebody is at work on it. */
const contradictedPause = { initialMs: 10_000, maxMs: 60_000, jitter: 0 };
/** Each try of one that does not answer the question costs a whole timeout. */
const unansweredPause = { initialMs: 60_000, maxMs: againMs, jitter: 0 };

/** What a round of questions has brought so far. */
interface Round {
  left: readonly IdentityCheck[];
  fits: boolean;
}

/**
 * Whether a device is what its profile is for, asked in rounds: at first contact, when it may have been exchanged,
 * and now and then. One contradiction is enough; a question that is refused or not answered says nothing. No I/O.
 */
export class Inquiry {
  readonly #checks: readonly IdentityCheck[];
  #round: Round | null = null;
  #dueAtMs = 0;
  /** In a row, of the kind that decides how soon the next round is. */
  #contradictions = 0;
  #unanswered = 0;
  #status: IdentityCheckStatus = { state: 'unchecked', reason: null };

  constructor(checks: readonly IdentityCheck[]) {
    this.#checks = checks;
  }

  get status(): IdentityCheckStatus {
    return this.#status;
  }

  get isContradicted(): boolean {
    return this.#status.state === 'contradicted';
  }

  /** The question that is next; null where no round is on its way. */
  get question(): IdentityCheck | null {
    return this.#round?.left[0] ?? null;
  }

  /** Another device may answer from now on. */
  suspect(): void {
    this.#dueAtMs = 0;
    this.#unanswered = 0;
  }

  /** Whether a round begins now that the device answers. */
  begin(now: number): boolean {
    if (now < this.#dueAtMs || this.#checks.length === 0) return false;
    this.#round = { left: this.#checks, fits: false };
    return true;
  }

  /** There is nobody to ask any more. */
  abandon(): void {
    this.#round = null;
  }

  /** What became of the question. */
  take(outcome: Outcome, now: number): void {
    const { left, fits } = this.#round!;
    const [check, ...others] = left;
    if (outcome.kind === 'data') {
      const finding = findingOf(check!, outcome.data);
      if (finding.kind === 'contradicts') return this.#contradicted(finding.says, now);
      this.#round = { left: others, fits: fits || finding.kind === 'fits' };
    } else if (outcome.kind === 'exception' && isAboutTheRequest(outcome.exceptionCode)) {
      this.#round = { left: others, fits };
    } else if (outcome.kind === 'offline') {
      this.#round = null;
      return;
    } else return this.#notAnswered(fits, now);
    if (others.length === 0) this.#end(this.#round.fits, now + againMs);
  }

  #contradicted(says: string, now: number): void {
    this.#contradictions += 1;
    this.#round = null;
    this.#status = { state: 'contradicted', reason: says };
    this.#dueAtMs = now + backoffMs(this.#contradictions, contradictedPause, 0);
  }

  /** Nothing more is asked in this round: each question may cost a timeout. */
  #notAnswered(fits: boolean, now: number): void {
    this.#unanswered += 1;
    const pauseMs = backoffMs(this.#unanswered, unansweredPause, 0);
    // A contradiction stands until the device takes it back.
    if (this.isContradicted) this.#round = null;
    else this.#end(fits, now + pauseMs);
    this.#dueAtMs = now + pauseMs;
  }

  #end(fits: boolean, dueAtMs: number): void {
    this.#round = null;
    this.#contradictions = 0;
    this.#status = { state: fits ? 'confirmed' : 'unchecked', reason: null };
    this.#dueAtMs = dueAtMs;
  }
}
