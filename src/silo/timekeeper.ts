import type { Clock } from '../base/clock.ts';
import type { Sample } from '../reading/sample.ts';
import type { PublishedSample } from '../stream/batch.ts';
import { judgeClock } from './clock-trust.ts';

/**
 * `good`: samples are dated as they come. `unknown`: they wait undated. `estimating`: they have waited long
 * enough, and go out marked as estimated.
 */
export type TimeMode = 'good' | 'unknown' | 'estimating';

/** Undated samples wait this long for a good clock at most: NTP over a slow modem needs minutes, not more. */
export const undatedMaxMs = 600_000;

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

export class Timekeeper {
  readonly bootId: string;
  readonly #sources: TimeSources;
  #floorMs: number;
  #unknownSinceMs: number | undefined;
  #mode: TimeMode = 'unknown';

  constructor(sources: TimeSources, floorMs: number) {
    this.bootId = sources.bootId;
    this.#sources = sources;
    this.#floorMs = floorMs;
    this.check();
  }

  get mode(): TimeMode {
    return this.#mode;
  }

  /** No right clock can be earlier than this moment, from now on. */
  raiseFloor(wallMs: number): void {
    this.#floorMs = Math.max(this.#floorMs, wallMs);
  }

  /** Looks at the clock again; true where the mode changed. */
  check(): boolean {
    const before = this.#mode;
    this.#mode = this.#judge();
    return this.#mode !== before;
  }

  /**
   * Gives a sample its time: its own where the clock was right when it was taken, the one that follows from
   * the monotonic clock where it has been set since, and else an estimate that says so.
   */
  date({ bootId, sample }: UndatedSample): PublishedSample {
    const { clock } = this.#sources;
    const { device, values, quality } = sample;
    const content = quality === undefined ? { values } : { values, quality };
    if (this.#mode === 'good' && bootId === this.bootId) {
      const derivedMs = clock.wallMs() - (clock.monotonicMs() - sample.monotonicMs);
      const ownIsRight = Math.abs(derivedMs - sample.wallMs) < stepToleranceMs;
      return { device, ts: Math.round(ownIsRight ? sample.wallMs : derivedMs), ...content };
    }
    const ts = Math.round(Math.max(sample.wallMs, this.#floorMs));
    return { device, ts, clock: 'estimated', ...content };
  }

  #judge(): TimeMode {
    const { clock, synchronized, setFromHardware } = this.#sources;
    const monotonicMs = clock.monotonicMs();
    const trust = judgeClock({
      synchronized: synchronized(),
      setFromHardware,
      wallMs: clock.wallMs(),
      monotonicMs,
      floorMs: this.#floorMs,
    });
    if (trust === 'good') {
      this.#unknownSinceMs = undefined;
      return 'good';
    }
    this.#unknownSinceMs ??= monotonicMs;
    return monotonicMs - this.#unknownSinceMs >= undatedMaxMs ? 'estimating' : 'unknown';
  }
}
