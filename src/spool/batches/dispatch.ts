import type { BatchKey } from '../../messages/telemetry.ts';
import type { Books, Draft } from '../state/spool-file.ts';
import { condemn, deliver, reject } from './removal.ts';
import { Lanes, type Order, type Reach } from './leases.ts';
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
export interface Verdicts {
  /** Taken: they leave for good. */
  acked?: readonly BatchRef[];
  /** Refused for good: quarantined, with an event. */
  rejected?: readonly (BatchRef & { reason: string })[];
  /** Neither: they wait again. */
  released?: readonly BatchRef[];
}

/** So many deliveries wait for a commit at most. */
const deliveredMax = 256;

/**
 * Batches on their way out. A delivery is not worth a commit of its own: its row goes with the next one,
 * a new batch's most likely, which halves what a quiet site writes to its card. What a crash makes of it
 * is a batch sent twice, and its key tells that.
 */
export class Dispatch {
  readonly lanes: Lanes;
  readonly #books: Books;
  /** Batches that the broker took and whose rows are still there: position → samples. */
  readonly #delivered = new Map<number, number>();

  constructor(books: Books) {
    this.#books = books;
    this.lanes = new Lanes(books.headPosition() + 1);
  }

  /** Up to `count` batches in their order, to be leased, and the positions of damaged ones among them. */
  next(count: number, order: Order, reach: Reach): { batches: LeasedBatch[]; damaged: number[] } {
    const batches: LeasedBatch[] = [];
    const damaged: number[] = [];
    for (const position of this.lanes.candidates(this.#books.ledger.waiting, order, reach)) {
      if (batches.length >= count) break;
      const batch = this.#read(position);
      if (batch === undefined) damaged.push(position);
      else batches.push(batch);
    }
    return { batches, damaged };
  }

  lease(batches: readonly LeasedBatch[]): void {
    for (const { key, samples } of batches) this.lanes.lease(this.#books.positionOf(key)!, samples);
  }

  /** Those wait again. */
  giveBack(refs: readonly BatchRef[] = []): void {
    for (const { position } of this.#leased(refs)) this.lanes.giveBack(position);
  }

  /** Those are done with: after the commit that rejected them. */
  release(refs: readonly BatchRef[]): void {
    for (const { position } of this.#leased(refs)) this.lanes.release(position);
  }

  /** True where so many deliveries wait that they are worth a commit. */
  deliver(refs: readonly BatchRef[] = []): boolean {
    const { waiting } = this.#books.ledger;
    for (const { position, samples } of this.#leased(refs)) {
      // One that was given up in flight is gone already, and told of.
      if (has(waiting, position)) this.#delivered.set(position, samples);
    }
    return this.#delivered.size >= deliveredMax;
  }

  /** Within a commit: they are refused for good. */
  reject(draft: Draft, refs: NonNullable<Verdicts['rejected']>): void {
    for (const { ref, position } of this.#leased(refs)) {
      const batch = this.#books.read(position);
      if (batch === undefined) condemn(this.#books, draft, position);
      else reject(this.#books, draft, batch.row, ref.reason);
    }
  }

  /** The oldest batch that waits; what was delivered waits for nothing but its row's removal. */
  oldest(): number | undefined {
    for (const position of ascending(this.#books.ledger.waiting)) {
      if (!this.#delivered.has(position)) return position;
    }
    return undefined;
  }

  /** Batches and samples that are as good as gone. */
  delivered(): { batches: number; samples: number } {
    const samples = [...this.#delivered.values()].reduce((sum, each) => sum + each, 0);
    return { batches: this.#delivered.size, samples };
  }

  /** Within a commit: the rows of what was delivered go. */
  clear(draft: Draft): void {
    for (const [position, samples] of this.#delivered) deliver(this.#books, draft, position, samples);
  }

  /** After that commit. */
  cleared(): void {
    for (const position of this.#delivered.keys()) this.lanes.release(position);
    this.#delivered.clear();
  }

  /** A verdict counts for what is leased and was not delivered before, and for nothing else. */
  #leased<Ref extends BatchRef>(refs: readonly Ref[]): { ref: Ref; position: number; samples: number }[] {
    return refs.flatMap((ref) => {
      const position = this.#books.positionOf(ref);
      if (position === undefined || this.#delivered.has(position)) return [];
      const samples = this.lanes.samplesOf(position);
      return samples === undefined ? [] : [{ ref, position, samples }];
    });
  }

  #read(position: number): LeasedBatch | undefined {
    const found = this.#books.read(position);
    if (found === undefined) return undefined;
    const { row, compressed } = found;
    const key = { ...this.#books.origin, epoch: row.epoch, seq: seqOf(position) };
    return { key, payload: decompress(compressed), compressed, samples: row.samples, durable: true };
  }
}
