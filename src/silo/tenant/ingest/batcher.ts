import type { EncodedSample } from '../../../spool/spool.ts';
import type { BatchOptions } from '../../options.ts';

/** Collects samples into batches; decides when one is full, never touches time or disk itself. */
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

  /** Takes a sample in; returns the batch that it completed, if it did. */
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
   * From now on a batch has no more JSON bytes than this, nor than configured; a sample that has more is a batch by
   * itself. An open one that is too large is closed and cut: gives the parts.
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
