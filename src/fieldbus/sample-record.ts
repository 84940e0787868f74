import type { Sample } from '../reading/sample.ts';
import { type DeviceStatus, pointsListedMax, type PointsStatus } from '../reading/status.ts';

type Recorded = Pick<DeviceStatus, 'samples' | 'lastSampleAt' | 'silentMs' | 'points'>;

const good = 'good';

/** What a device's samples said: of each point the last, and when the last value came. */
export class SampleRecord {
  readonly #points = new Map<string, string>();
  #samples = 0;
  #lastWallMs: number | null = null;
  /** Of the last value; before the first, of the beginning. */
  #heardMs: number;

  constructor(now: number) {
    this.#heardMs = now;
  }

  take({ values, quality = {}, wallMs, monotonicMs }: Omit<Sample, 'device'>): void {
    this.#samples += 1;
    let hasValue = false;
    for (const name in values) {
      hasValue = true;
      this.#points.set(name, good);
    }
    // A point that stands in both has a value with something to say against it.
    for (const [name, why] of Object.entries(quality)) this.#points.set(name, why);
    if (!hasValue) return;
    this.#lastWallMs = wallMs;
    this.#heardMs = monotonicMs;
  }

  /** Its points are other ones from now on. */
  forgetPoints(): void {
    this.#points.clear();
  }

  status(now: number): Recorded {
    return {
      samples: this.#samples,
      lastSampleAt: this.#lastWallMs,
      silentMs: Math.round(Math.max(0, now - this.#heardMs)),
      points: this.#pointsStatus(),
    };
  }

  #pointsStatus(): PointsStatus {
    const byQuality: Record<string, number> = {};
    const failing: PointsStatus['failing'] = [];
    for (const [name, quality] of this.#points) {
      if (quality === good) continue;
      byQuality[quality] = (byQuality[quality] ?? 0) + 1;
      if (failing.length < pointsListedMax) failing.push({ name, quality });
    }
    const bad = Object.values(byQuality).reduce((sum, count) => sum + count, 0);
    return { total: this.#points.size, good: this.#points.size - bad, byQuality, failing };
  }
}
