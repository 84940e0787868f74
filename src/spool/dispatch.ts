import type { BatchKey } from '../stream/batch.ts';
import type { Books, Draft } from './books.ts';
import { condemn, deliver, reject } from './departure.ts';
import { Lanes } from './lanes.ts';
import { seqOf } from './position.ts';
import { decompress } from './sealed-batch.ts';

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

/** Batches that the broker took, and whose rows are still there. */
interface Delivered {
  position: number;
  samples: number;
}

/** So many of them wait for a commit at most. */
const deliveredMax = 256;

/**
 * Batches on their way out. A delivery is not worth a commit of its own: its row goes with the next one,
 * a new batch's most likely, which halves what a quiet site writes to its card. What a crash makes of it
 * is a batch sent twice, and its key tells that.
 */
export class Dispatch {
  readonly lanes: Lanes;
  readonly #books: Books;
  #delivered: Delivered[] = [];

  constructor(books: Books) {
    this.#books = books;
    this.lanes = new Lanes(books.headPosition() + 1);
  }

  /** Up to `count` batches in their order, and the positions of those found damaged on the way. */
  lease(count: number, order: 'live-first' | 'fifo'): { batches: LeasedBatch[]; damaged: number[] } {
    const found: { position: number; batch: LeasedBatch }[] = [];
    const damaged: number[] = [];
    for (const position of this.lanes.candidates(this.#books.ledger.waiting, order)) {
      if (found.length >= count) break;
      const batch = this.#read(position);
      if (batch === undefined) damaged.push(position);
      else found.push({ position, batch });
    }
    for (const { position, batch } of found) this.lanes.lease(position, batch.samples);
    return { batches: found.map(({ batch }) => batch), damaged };
  }

  release(refs: readonly BatchRef[] = []): void {
    for (const { position } of this.#leased(refs)) this.lanes.release(position);
  }

  /** True where so many deliveries wait that they are due by themselves. */
  deliver(refs: readonly BatchRef[] = []): boolean {
    const known = new Set(this.#delivered.map(({ position }) => position));
    this.#delivered.push(...this.#leased(refs).filter(({ position }) => !known.has(position)));
    return this.#delivered.length >= deliveredMax;
  }

  /** Within a commit: they are refused for good. */
  reject(draft: Draft, refs: NonNullable<Verdicts['rejected']>): void {
    for (const { ref, position } of this.#leased(refs)) {
      const batch = this.#books.read(position);
      if (batch === undefined) condemn(this.#books, draft, position);
      else reject(this.#books, draft, batch.row, ref.reason);
    }
  }

  /** Batches and samples that are as good as gone. */
  delivered(): { batches: number; samples: number } {
    const samples = this.#delivered.reduce((sum, each) => sum + each.samples, 0);
    return { batches: this.#delivered.length, samples };
  }

  /** Within a commit: the rows of what was delivered go. */
  clear(draft: Draft): void {
    for (const { position, samples } of this.#delivered) deliver(this.#books, draft, position, samples);
  }

  /** After that commit. */
  cleared(): void {
    for (const { position } of this.#delivered) this.lanes.release(position);
    this.#delivered = [];
  }

  /** A verdict counts for what is leased, and for nothing else. */
  #leased<Ref extends BatchRef>(refs: readonly Ref[]): (Delivered & { ref: Ref })[] {
    return refs.flatMap((ref) => {
      const position = this.#books.positionOf(ref);
      const samples = position === undefined ? undefined : this.lanes.samplesOf(position);
      return position === undefined || samples === undefined ? [] : [{ ref, position, samples }];
    });
  }

  #read(position: number): LeasedBatch | undefined {
    const found = this.#books.read(position);
    if (found === undefined) return undefined;
    const { row, compressed } = found;
    const key = { ...this.#books.origin, epoch: row.epoch, seq: seqOf(position) };
    return { key, payload: decompress(compressed), compressed, samples: row.samples };
  }
}
