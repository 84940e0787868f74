import type { EncodedSample } from '../../../spool/spool.ts';
import type { BatchOptions } from '../../options.ts';

/** Collects samples into batches and decides when a batch is full; has no access to clock or disk. */
export class Batcher {
  readonly #limits: BatchOptions;
  /** Never more than the configured one. */
  #bytesMax: number;
  #samples: EncodedSample[] = [];
  #bytes = 0;
  #openedAtMs = 0;

  constructor(limits: BatchOptions) {
    this.#limits = limits;
    this.#bytesMax = limits.bytesMax;
  }

  get size(): number {
    return this.#samples.length;
  }

  /** When the open batch must be closed at the latest (monotonic ms); undefined while it is empty. */
  get dueAtMs(): number | undefined {
    return this.#samples.length === 0 ? undefined : this.#openedAtMs + this.#limits.lingerMs;
  }

  /** Adds a sample; returns the batch that it completed, if any. */
  add(sample: EncodedSample, nowMs: number): EncodedSample[] | undefined {
    const bytes = Buffer.byteLength(sample.json) + 1;
    const overflow = this.#samples.length > 0 && this.#bytes + bytes > this.#bytesMax;
    const completed = overflow ? this.take() : undefined;
    if (this.#samples.length === 0) this.#openedAtMs = nowMs;
    this.#samples.push(sample);
    this.#bytes += bytes;
    if (completed !== undefined) return completed;
    return this.#samples.length >= this.#limits.samplesMax ? this.take() : undefined;
  }

  /**
   * Limits the JSON bytes of a batch, within the configured limit; a larger sample is a batch by itself. If the open
   * batch is too large, it is closed and split: returns the parts.
   */
  limit(bytesMax: number): EncodedSample[][] {
    this.#bytesMax = Math.min(bytesMax, this.#limits.bytesMax);
    if (this.#bytes <= this.#bytesMax) return [];
    const parts = this.take().map((sample) => this.add(sample, 0));
    return [...parts, this.take()].filter((part) => part !== undefined);
  }

  /** Closes the open batch, which may be empty. */
  take(): EncodedSample[] {
    const samples = this.#samples;
    this.#samples = [];
    this.#bytes = 0;
    return samples;
  }
}
