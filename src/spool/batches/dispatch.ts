import type { BatchKey } from '../../messages/telemetry.ts';
import type { SpoolFile, NextLedger } from '../state/spool-file.ts';
import { markDamaged, deliver, reject } from './removal.ts';
import { Leases, type Order, type Reach } from './leases.ts';
import { seqOf } from '../state/position.ts';
import { ascending, has } from '../../base/ranges.ts';
import { decompress } from '../sealing/sealed-batch.ts';

export interface BatchRef {
  epoch: string;
  seq: number;
}

export interface LeasedBatch {
  key: BatchKey;
  /** The batch's JSON bytes. */
  payload: Buffer;
  /** zstd of them, as stored. */
  compressed: Buffer;
  samples: number;
  /** Whether a disk has it; where none has, a power cut would have cost it. */
  durable: boolean;
}

/** What the broker said. */
export interface Settlements {
  /** Taken: they leave for good. */
  acked?: readonly BatchRef[];
  /** Refused for good: quarantined, with an event. */
  rejected?: readonly (BatchRef & { reason: string })[];
  /** Neither: they wait again. */
  released?: readonly BatchRef[];
}

/** At most this many deliveries wait for a commit. */
const deliveredMax = 256;

/**
 * Batches on their way out. A delivery is not worth a commit of its own: its row goes with the next one,
 * a new batch's most likely, which halves what a quiet site writes to its card. What a crash makes of it
 * is a batch sent twice, and its key tells that.
 */
export class Dispatch {
  readonly leases: Leases;
  readonly #spoolFile: SpoolFile;
  /** Batches that the broker took and whose rows are still there: position → samples. */
  readonly #delivered = new Map<number, number>();

  constructor(spoolFile: SpoolFile) {
    this.#spoolFile = spoolFile;
    this.leases = new Leases(spoolFile.headPosition() + 1);
  }

  /** Up to `count` batches in their order, to be leased, and the positions of damaged ones among them. */
  next(count: number, order: Order, reach: Reach): { batches: LeasedBatch[]; damaged: number[] } {
    const batches: LeasedBatch[] = [];
    const damaged: number[] = [];
    for (const position of this.leases.candidates(this.#spoolFile.ledger.waiting, order, reach)) {
      if (batches.length >= count) break;
      const batch = this.#read(position);
      if (batch === undefined) damaged.push(position);
      else batches.push(batch);
    }
    return { batches, damaged };
  }

  lease(batches: readonly LeasedBatch[]): void {
    for (const { key, samples } of batches) this.leases.lease(this.#spoolFile.positionOf(key)!, samples);
  }

  /** Those wait again. */
  giveBack(refs: readonly BatchRef[] = []): void {
    for (const { position } of this.#leased(refs)) this.leases.giveBack(position);
  }

  /** Those are settled: after the commit that rejected them. */
  release(refs: readonly BatchRef[]): void {
    for (const { position } of this.#leased(refs)) this.leases.release(position);
  }

  /** True if enough deliveries wait to be worth a commit. */
  deliver(refs: readonly BatchRef[] = []): boolean {
    const { waiting } = this.#spoolFile.ledger;
    for (const { position, samples } of this.#leased(refs)) {
      // One that was given up in flight is already gone and reported.
      if (has(waiting, position)) this.#delivered.set(position, samples);
    }
    return this.#delivered.size >= deliveredMax;
  }

  /** Within a commit: they are refused for good. */
  reject(next: NextLedger, refs: NonNullable<Settlements['rejected']>): void {
    for (const { ref, position } of this.#leased(refs)) {
      const batch = this.#spoolFile.read(position);
      if (batch === undefined) markDamaged(this.#spoolFile, next, position);
      else reject(this.#spoolFile, next, batch.row, ref.reason);
    }
  }

  /** The oldest batch that waits; a delivered one waits only for the removal of its row. */
  oldest(): number | undefined {
    for (const position of ascending(this.#spoolFile.ledger.waiting)) {
      if (!this.#delivered.has(position)) return position;
    }
    return undefined;
  }

  /** Batches and samples that are delivered and still have a row. */
  delivered(): { batches: number; samples: number } {
    const samples = [...this.#delivered.values()].reduce((sum, each) => sum + each, 0);
    return { batches: this.#delivered.size, samples };
  }

  /** Within a commit: the rows of what was delivered go. */
  clear(next: NextLedger): void {
    for (const [position, samples] of this.#delivered) deliver(this.#spoolFile, next, position, samples);
  }

  /** After that commit. */
  cleared(): void {
    for (const position of this.#delivered.keys()) this.leases.release(position);
    this.#delivered.clear();
  }

  /** A settlement counts only for what is leased and was not delivered before. */
  #leased<Ref extends BatchRef>(refs: readonly Ref[]): { ref: Ref; position: number; samples: number }[] {
    return refs.flatMap((ref) => {
      const position = this.#spoolFile.positionOf(ref);
      if (position === undefined || this.#delivered.has(position)) return [];
      const samples = this.leases.samplesOf(position);
      return samples === undefined ? [] : [{ ref, position, samples }];
    });
  }

  #read(position: number): LeasedBatch | undefined {
    const beginFirstEpoch = this.#spoolFile.read(position);
    if (beginFirstEpoch === undefined) return undefined;
    const { row, compressed } = beginFirstEpoch;
    const key = { ...this.#spoolFile.origin, epoch: row.epoch, seq: seqOf(position) };
    return { key, payload: decompress(compressed), compressed, samples: row.samples, durable: true };
  }
}
