import { encodeBatch } from '../../src/messages/telemetry.ts';
import type { EncodedSample } from '../../src/spool/spool.ts';
import { acme } from './spool.ts';

/** The reference model of a spool, without disk, crypto or pages: the order of batches and the fate of each. */
export class ModelSpool {
  epoch = '';
  seq = 0;
  waiting = new Map<number, Buffer>();
  leased = new Set<number>();
  /** Acked, and on disk until the next commit: a crash brings them back. */
  limbo = new Map<number, Buffer>();
  rejected: number[] = [];
  dropped: number[] = [];
  refusedSamples = 0;
  payloads: Buffer[] = [];

  enqueue(samples: readonly EncodedSample[]): void {
    this.seq += 1;
    const key = { ...acme, epoch: this.epoch, seq: this.seq };
    const json = samples.map((sample) => sample.json);
    this.payloads.push(encodeBatch(key, json));
    this.waiting.set(this.seq, this.payloads.at(-1)!);
  }

  /** Eviction takes the oldest batch without a lease, then the oldest. */
  drop(count: number): void {
    const inOrder = [...this.waiting.keys()];
    const free = inOrder.filter((seq) => !this.leased.has(seq));
    for (const seq of [...free, ...inOrder.filter((seq) => this.leased.has(seq))].slice(0, count)) {
      this.waiting.delete(seq);
      this.dropped.push(seq);
    }
  }

  lease(count: number): number[] {
    const next = [...this.waiting.keys()].filter((seq) => !this.leased.has(seq)).slice(0, count);
    for (const seq of next) this.leased.add(seq);
    return next;
  }

  ack(seq: number): void {
    const payload = this.waiting.get(seq);
    if (payload === undefined) return;
    this.limbo.set(seq, payload);
    this.waiting.delete(seq);
  }

  reject(seq: number): void {
    this.leased.delete(seq);
    if (this.waiting.delete(seq)) this.rejected.push(seq);
  }

  commit(): void {
    for (const seq of this.limbo.keys()) this.leased.delete(seq);
    this.limbo.clear();
  }

  crash(): void {
    this.waiting = new Map([...this.waiting, ...this.limbo].sort(([a], [b]) => a - b));
    this.limbo.clear();
    this.leased.clear();
  }
}
