import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { FaultState } from '../../base/fault-state.ts';
import type { Logger } from '../../base/logger.ts';
import { type DiskStatus, goodDisk } from '../../status/status.ts';

/** A disk that takes nothing is tried again this often; one that works and fails in turn, ever more rarely. */
const retryMsMin = 2000;
const retryMsMax = 60_000;
/** One that fails again this soon after it worked was not mended. */
const relapseMs = 60_000;

const shortage = 'other programs have filled its disk; free space on it';

/** Whether the spool's disk takes what it is given, and when to try it again where it does not. */
export class DiskState {
  readonly #clock: Clock;
  readonly #state: FaultState;
  /** Monotonic ms, as all times here. */
  #triedAtMs = -Infinity;
  #recoveredAtMs = -Infinity;
  #retryMs = retryMsMin;
  /** Batches given up for want of room on the disk: since when, and last when. */
  #shortage: { sinceMs: number; lastMs: number } | undefined;
  #dropped: number | undefined;

  constructor(deps: { clock: Clock; logger: Logger }) {
    this.#clock = deps.clock;
    this.#state = new FaultState('the spool', deps);
  }

  get isFailing(): boolean {
    return this.#state.fault !== undefined;
  }

  /** Why it fails, in words, and for how long it has; only while it does. */
  get fault(): { reason: string; forMs: number } {
    const { reason, sinceMs } = this.#state.fault!;
    return { reason, forMs: Math.round(this.#clock.monotonicMs() - sinceMs) };
  }

  /** For what can not do without it. Throws SpoolUnavailable. */
  unavailable(): never {
    throw new MerestoneError('SpoolUnavailable', this.#state.fault?.reason ?? 'its disk takes nothing');
  }

  /** True where it worked before. */
  fail(reason: string): boolean {
    if (!this.#state.fail(reason)) return false;
    const nowMs = this.#clock.monotonicMs();
    const isRelapse = nowMs - this.#recoveredAtMs < relapseMs;
    this.#retryMs = isRelapse ? Math.min(2 * this.#retryMs, retryMsMax) : retryMsMin;
    this.#triedAtMs = nowMs;
    return true;
  }

  recover(): void {
    this.#state.clear();
    this.#recoveredAtMs = this.#clock.monotonicMs();
  }

  /** Whether it is to be tried now: always while it works. What is asked of it then counts as a try. */
  mayTry(): boolean {
    if (!this.isFailing) return true;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#triedAtMs < this.#retryMs) return false;
    this.#triedAtMs = nowMs;
    return true;
  }

  /** The next try may come at once: opening it again mends what failed. */
  retryNow(): void {
    this.#triedAtMs = -Infinity;
  }

  /** This many batches were given up so far; `isShort`: the disk bounds the spool, and not its quota. */
  observe(dropped: number, isShort: boolean): void {
    const isMore = dropped > (this.#dropped ?? dropped);
    this.#dropped = dropped;
    const nowMs = this.#clock.monotonicMs();
    if (isMore && isShort) this.#shortage = { sinceMs: this.#shortage?.sinceMs ?? nowMs, lastMs: nowMs };
    else if (this.#shortage !== undefined && nowMs - this.#shortage.lastMs >= relapseMs)
      this.#shortage = undefined;
  }

  status(): DiskStatus {
    if (this.isFailing) {
      const { reason, forMs } = this.fault;
      return { state: 'failing', reason, sinceMs: forMs };
    }
    if (this.#shortage === undefined) return goodDisk;
    const sinceMs = Math.round(this.#clock.monotonicMs() - this.#shortage.sinceMs);
    return { state: 'failing', isShort: true, reason: shortage, sinceMs };
  }
}
