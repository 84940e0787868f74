import type { Sample } from '../reading/sample.ts';
import { type DeviceStatus, pointsListedMax, type PointsStatus } from '../status/status.ts';

type Recorded = Pick<DeviceStatus, 'samples' | 'lastSampleAt' | 'silentMs' | 'points'>;

interface Point {
  /** Null if the value is good. */
  quality: string | null;
  hasValue: boolean;
}

const read: Point = { quality: null, hasValue: true };

/** The last value and quality of each point of a device, and when the last value came. */
export class SampleRecord {
  readonly #points = new Map<string, Point>();
  #samples = 0;
  #lastWallMs: number | null = null;
  /** Time of the last value; before the first one, of the start. */
  #heardMs: number;

  constructor(now: number) {
    this.#heardMs = now;
  }

  /** Counts a sample that is delivered. */
  take(sample: Omit<Sample, 'device'>): void {
    this.note(sample);
    if (Object.keys(sample.values).length === 0) return;
    this.#samples += 1;
    this.#lastWallMs = sample.wallMs;
    this.#heardMs = sample.monotonicMs;
  }

  /** Records points just read, before a sample is made of them. */
  note({ values, quality = {} }: Pick<Sample, 'values' | 'quality'>): void {
    for (const name in values) this.#points.set(name, read);
    for (const [name, why] of Object.entries(quality)) {
      this.#points.set(name, { quality: why, hasValue: Object.hasOwn(values, name) });
    }
  }

  /** Replaces the set of points. */
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
