import type { Sample } from '../reading/sample.ts';
import { type DeviceStatus, pointsListedMax, type PointsStatus } from '../status/status.ts';

type Recorded = Pick<DeviceStatus, 'samples' | 'lastSampleAt' | 'silentMs' | 'points'>;

interface Point {
  /** Null where nothing is said against its value. */
  quality: string | null;
  hasValue: boolean;
}

const read: Point = { quality: null, hasValue: true };

/** What a device's samples said: of each point the last, and when the last value came. */
export class SampleRecord {
  readonly #points = new Map<string, Point>();
  #samples = 0;
  #lastWallMs: number | null = null;
  /** Of the last value; before the first, of the beginning. */
  #heardMs: number;

  constructor(now: number) {
    this.#heardMs = now;
  }

  /** Counts a sample that is given. */
  take(sample: Omit<Sample, 'device'>): void {
    this.note(sample);
    if (Object.keys(sample.values).length === 0) return;
    this.#samples += 1;
    this.#lastWallMs = sample.wallMs;
    this.#heardMs = sample.monotonicMs;
  }

  /** What was just read of points, whenever a sample is made of it. */
  note({ values, quality = {} }: Pick<Sample, 'values' | 'quality'>): void {
    for (const name in values) this.#points.set(name, read);
    for (const [name, why] of Object.entries(quality)) {
      this.#points.set(name, { quality: why, hasValue: Object.hasOwn(values, name) });
    }
  }

  /** Its points are other ones from now on. */
  forgetPoints(): void {
    this.#points.clear();
  }

  /** Of a device that answers. */
  get state(): 'good' | 'partial' | 'failing' {
    const points = [...this.#points.values()];
    if (points.every(({ quality }) => quality === null)) return 'good';
    return points.some(({ hasValue }) => hasValue) ? 'partial' : 'failing';
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
    for (const [name, { quality }] of this.#points) {
      if (quality === null) continue;
      byQuality[quality] = (byQuality[quality] ?? 0) + 1;
      if (failing.length < pointsListedMax) failing.push({ name, quality });
    }
    const bad = Object.values(byQuality).reduce((sum, count) => sum + count, 0);
    const total = this.#points.size;
    const valued = [...this.#points.values()].filter(({ hasValue }) => hasValue).length;
    return { total, valued, good: total - bad, byQuality, failing };
  }
}
