/** Buckets of one minute: fine enough that a figure follows within seconds, few enough to add up quickly. */
const buckets = 12;
const bucketMs = 5000;

/** Sum, mean and maximum of what happened over the last minute. */
export class SlidingMinute {
  readonly #sums = new Float64Array(buckets);
  readonly #counts = new Float64Array(buckets);
  readonly #maxima = new Float64Array(buckets);
  readonly #startedAtMs: number;
  #bucket: number;

  constructor(now: number) {
    this.#startedAtMs = now;
    this.#bucket = Math.floor(now / bucketMs);
  }

  add(value: number, now: number): void {
    this.#advance(now);
    const index = this.#bucket % buckets;
    this.#sums[index]! += value;
    this.#counts[index]! += 1;
    this.#maxima[index] = Math.max(this.#maxima[index]!, value);
  }

  max(now: number): number {
    this.#advance(now);
    return Math.max(...this.#maxima);
  }

  /** 0 where nothing was added. */
  mean(now: number): number {
    this.#advance(now);
    return total(this.#sums) / Math.max(1, total(this.#counts));
  }

  /** For added milliseconds: their share of the time observed, 0 to 1. */
  share(now: number): number {
    return Math.min(1, this.ratio(now));
  }

  /** The same for figures whose sum may exceed the time observed. */
  ratio(now: number): number {
    this.#advance(now);
    const looked = (buckets - 1) * bucketMs + (now % bucketMs);
    return total(this.#sums) / Math.max(1, Math.min(looked, now - this.#startedAtMs));
  }

  #advance(now: number): void {
    const bucket = Math.floor(now / bucketMs);
    for (let steps = Math.min(bucket - this.#bucket, buckets); steps > 0; steps -= 1) {
      const index = (bucket - steps + 1) % buckets;
      this.#sums[index] = 0;
      this.#counts[index] = 0;
      this.#maxima[index] = 0;
    }
    this.#bucket = Math.max(this.#bucket, bucket);
  }
}

function total(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Below this load, polls were skipped for other reasons than a full line: a quota, one slow answer. */
const fullShare = 0.9;

/** A line's load: its busy share, or for a full line the share that its devices asked for, which may be above 1. */
export function loadWith(busyShare: number, demands: readonly number[]): number {
  const demand = demands.reduce((sum, each) => sum + each, 0);
  return busyShare < fullShare ? busyShare : Math.max(busyShare, demand);
}
