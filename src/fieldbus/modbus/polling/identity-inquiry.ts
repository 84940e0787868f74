import { backoffMs } from '../../../base/backoff.ts';
import type { IdentityCheckStatus } from '../../../status/status.ts';
import type { Outcome } from '../modbus-client.ts';
import { isAboutTheRequest } from '../exception.ts';
import { findingOf } from '../identity-check.ts';
import type { IdentityCheck } from '../../options.ts';

/** The check is repeated after this long: a device may be exchanged between two of its polls. */
const againMs = 900_000;
/** A device that contradicts its profile is asked again sooner: someone is probably working on it. */
const contradictedPause = { initialMs: 10_000, maxMs: 60_000, jitter: 0 };
/** An unanswered question costs a whole timeout each time. */
const unansweredPause = { initialMs: 60_000, maxMs: againMs, jitter: 0 };

/** Results of a round of questions so far. */
interface Round {
  left: readonly IdentityCheck[];
  fits: boolean;
}

/**
 * Whether a device fits its profile, asked in rounds: at first contact, when it may have been exchanged, and
 * periodically. One contradiction is enough; a refused or unanswered question proves nothing. No I/O.
 */
export class Inquiry {
  readonly #checks: readonly IdentityCheck[];
  #round: Round | null = null;
  #dueAtMs = 0;
  /** Rounds in a row with the result that decides how soon the next one is. */
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

  /** The next question; null if no round is going on. */
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

  /** The device is gone: ends the round. */
  abandon(): void {
    this.#round = null;
  }

  /** Takes the result of the question. */
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

  /** Ends the round: each further question may cost a timeout. */
  #notAnswered(fits: boolean, now: number): void {
    this.#unanswered += 1;
    const pauseMs = backoffMs(this.#unanswered, unansweredPause, 0);
    // A contradiction counts until an answer of the device settles it.
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
