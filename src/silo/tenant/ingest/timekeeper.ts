import type { Clock } from '../../../base/clock.ts';
import type { Sample } from '../../../reading/sample.ts';
import type { PublishedSample } from '../../../messages/telemetry.ts';
import { judgeClock } from './clock-trust.ts';

/**
 * `good`: samples are dated as they come. `unknown`: they wait undated. `estimating`: the wait is over, and samples
 * are sent with their times marked as estimated.
 */
export type TimeMode = 'good' | 'unknown' | 'estimating';

/** Undated samples wait this long for a good clock at most: NTP over a slow modem needs minutes, not more. */
export const undatedMaxMs = 600_000;

/**
 * For a clock that is past every certain floor but behind our own newest sample: either it is behind now, or it was
 * ahead then. NTP has a minute to correct it; then samples get the clock's time, marked as estimated.
 */
export const doubtMs = 60_000;
/** A clock that ran this long without a step is trusted, even against our own samples. */
export const stableMs = 600_000;

/** A sample keeps its own wall time if it is this close to the time by the monotonic clock. */
const stepToleranceMs = 1000;

export interface TimeSources {
  clock: Clock;
  bootId: string;
  synchronized: () => boolean;
  setFromHardware: boolean;
}

/** A sample that could not be dated yet, with the boot whose monotonic clock it carries. */
export interface UndatedSample {
  bootId: string;
  sample: Sample;
}

/** The start of one boot's estimates, which continue with its monotonic clock. */
interface Anchor {
  monotonicMs: number;
  ts: number;
}

export class Timekeeper {
  readonly bootId: string;
  readonly #sources: TimeSources;
  /** Release day and certificate: no right clock is earlier. */
  #certainMs: number;
  /** The time of our own newest sample; the clock may have been ahead then. */
  readonly #newestTs: number;
  readonly #anchors = new Map<string, Anchor>();
  #unknownSinceMs: number | undefined;
  #stableSinceMs: number;
  #offsetMs: number;
  #mode: TimeMode = 'unknown';

  /** `newestTs`: of the newest sample that was stored before; ms since 1970 UTC, as `certainMs`. */
  constructor(sources: TimeSources, certainMs: number, newestTs = 0) {
    this.bootId = sources.bootId;
    this.#sources = sources;
    this.#certainMs = certainMs;
    this.#newestTs = newestTs;
    this.#stableSinceMs = sources.clock.monotonicMs();
    this.#offsetMs = sources.clock.wallMs() - this.#stableSinceMs;
    this.check();
  }

  get mode(): TimeMode {
    return this.#mode;
  }

  /** Raises the earliest time that a right clock can have. */
  raiseFloor(wallMs: number): void {
    this.#certainMs = Math.max(this.#certainMs, wallMs);
  }

  /** Checks the clock; true if the mode changed. Must be called every second, to notice steps. */
  check(): boolean {
    const before = this.#mode;
    this.#noticeStep();
    this.#mode = this.#judge();
    return this.#mode !== before;
  }

  /**
   * Dates a sample: with its own time if the clock was right then, by the monotonic clock if it has been set since,
   * and else with an estimate that is marked as such.
   */
  date({ bootId, sample }: UndatedSample): PublishedSample {
    const { device, values, quality } = sample;
    const content = quality === undefined ? { values } : { values, quality };
    if (this.#mode === 'good' && bootId === this.bootId) {
      return { device, ts: Math.round(this.#derive(sample)), ...content };
    }
    return { device, ts: Math.round(this.#estimate(bootId, sample)), clock: 'estimated', ...content };
  }

  #derive(sample: Sample): number {
    const { clock } = this.#sources;
    const derivedMs = clock.wallMs() - (clock.monotonicMs() - sample.monotonicMs);
    return Math.abs(derivedMs - sample.wallMs) < stepToleranceMs ? sample.wallMs : derivedMs;
  }

  /** The clock's time if it can be right; else a time from the floor on, by that boot's monotonic clock. */
  #estimate(bootId: string, sample: Sample): number {
    const isOfThisBoot = bootId === this.bootId;
    if (isOfThisBoot && this.#sources.clock.wallMs() >= this.#certainMs) return this.#derive(sample);
    if (!isOfThisBoot && sample.wallMs >= this.#certainMs) return sample.wallMs;
    let anchor = this.#anchors.get(bootId);
    if (anchor === undefined) {
      const ts = Math.max(sample.wallMs, this.#certainMs, this.#newestTs);
      anchor = { monotonicMs: sample.monotonicMs, ts };
      this.#anchors.set(bootId, anchor);
    }
    return anchor.ts + sample.monotonicMs - anchor.monotonicMs;
  }

  #noticeStep(): void {
    const { clock } = this.#sources;
    const monotonicMs = clock.monotonicMs();
    const offsetMs = clock.wallMs() - monotonicMs;
    if (Math.abs(offsetMs - this.#offsetMs) >= stepToleranceMs) this.#stableSinceMs = monotonicMs;
    this.#offsetMs = offsetMs;
  }

  #judge(): TimeMode {
    const { clock, synchronized, setFromHardware } = this.#sources;
    const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()];
    const isSynchronized = synchronized();
    const floorMs = this.#certainMs;
    const trust = judgeClock({ synchronized: isSynchronized, setFromHardware, wallMs, monotonicMs, floorMs });
    const isStable = monotonicMs - this.#stableSinceMs >= stableMs;
    const isDoubtful = !isSynchronized && wallMs < this.#newestTs && !isStable;
    if (trust === 'good' && !isDoubtful) {
      this.#unknownSinceMs = undefined;
      return 'good';
    }
    this.#unknownSinceMs ??= monotonicMs;
    const waitMs = trust === 'good' ? doubtMs : undatedMaxMs;
    return monotonicMs - this.#unknownSinceMs >= waitMs ? 'estimating' : 'unknown';
  }
}
