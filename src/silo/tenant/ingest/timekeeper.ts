import type { Clock } from '../../../base/clock.ts';
import type { Sample } from '../../../reading/sample.ts';
import type { PublishedSample } from '../../../messages/telemetry.ts';
import { judgeClock } from './clock-trust.ts';

/**
 * `good`: samples are dated as they come. `unknown`: they wait undated. `estimating`: they have waited long
 * enough, and go out marked as estimated.
 */
export type TimeMode = 'good' | 'unknown' | 'estimating';

/** Undated samples wait this long for a good clock at most: NTP over a slow modem needs minutes, not more. */
export const undatedMaxMs = 600_000;

/**
 * A clock that is past every certain floor and behind our own newest sample: either it is behind, or it was ahead when
 * that sample was taken. NTP gets a minute to tell; then samples go out with the clock's time, marked as estimated.
 */
export const doubtMs = 60_000;
/** One that ran for so long without a step is believed, whatever our own samples say. */
export const stableMs = 600_000;

/** A sample's own wall time is kept while it is this close to what the monotonic clock says. */
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

/** Where the estimates of one boot begin: they go on with its monotonic clock. */
interface Anchor {
  monotonicMs: number;
  ts: number;
}

export class Timekeeper {
  readonly bootId: string;
  readonly #sources: TimeSources;
  /** Release day and certificate: no right clock is earlier. */
  #certainMs: number;
  /** Our own newest sample, which a clock may have dated that was ahead. */
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

  /** No right clock can be earlier than this moment, from now on. */
  raiseFloor(wallMs: number): void {
    this.#certainMs = Math.max(this.#certainMs, wallMs);
  }

  /** Looks at the clock again; true where the mode changed. To be called every second: it notices steps. */
  check(): boolean {
    const before = this.#mode;
    this.#noticeStep();
    this.#mode = this.#judge();
    return this.#mode !== before;
  }

  /**
   * Gives a sample its time: its own where the clock was right when it was taken, the one that follows from
   * the monotonic clock where it has been set since, and else an estimate that says so.
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

  /** The clock's time where it can be right; else from the floor on, as the monotonic clock of that boot went. */
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
