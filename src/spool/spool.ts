import { join } from 'node:path';
import { describeError } from '../base/error.ts';
import type { SpoolStatus } from '../reading/status.ts';
import type { BatchKey } from '../stream/batch.ts';
import type { CheckpointClaims } from '../stream/checkpoint.ts';
import type { EventBody } from '../stream/event.ts';
import type { Books } from './books.ts';
import { condemn, deliver, reject } from './departure.ts';
import type { SpoolDependencies } from './dependencies.ts';
import { hold, letGo } from './held.ts';
import { type EncodedSample, takeIn } from './intake.ts';
import { rekey, rotateKey } from './key-change.ts';
import type { KeyWrapper } from './keyring.ts';
import { Lanes } from './lanes.ts';
import { holdLock, type Lock } from './lock.ts';
import { openBooks } from './opening.ts';
import type { SpoolOptions } from './options.ts';
import type { LeasedEvent } from './outbox.ts';
import { seqOf } from './position.ts';
import { quotaOf } from './quota.ts';
import { ascending, countOf } from './runs.ts';
import { decompress } from './sealed-batch.ts';
import { Store } from './store.ts';
import { WriteMeter } from './write-meter.ts';

export type { SpoolDependencies } from './dependencies.ts';
export type { EncodedSample } from './intake.ts';
export type { KeyWrapper } from './keyring.ts';
export type { LeasedEvent } from './outbox.ts';

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

export class Spool {
  readonly #options: SpoolOptions;
  readonly #deps: SpoolDependencies;
  readonly #lock: Lock;
  readonly #books: Books;
  readonly #lanes: Lanes;
  readonly #meter = new WriteMeter();
  #keys: KeyWrapper;
  #rotation: Promise<void> | undefined;

  /**
   * Opens the spool in `options.directory`, or makes it. Throws SpoolForeign where the file is another
   * tenant's or gateway's, SpoolHeld where a process has it open, KeyUnavailable where its keys are
   * wrapped to another key, SpoolUnavailable or SpoolFull where the disk refuses.
   */
  static async open(options: SpoolOptions, deps: SpoolDependencies): Promise<Spool> {
    const quota = quotaOf(options.bytesMax);
    const lock = holdLock(options.directory);
    let store: Store | undefined;
    try {
      store = Store.open(join(options.directory, 'spool.sqlite'), quota);
      return new Spool(options, deps, lock, await openBooks(store, deps));
    } catch (error) {
      store?.close();
      lock.release();
      throw error;
    }
  }

  private constructor(options: SpoolOptions, deps: SpoolDependencies, lock: Lock, books: Books) {
    this.#options = options;
    this.#deps = deps;
    this.#lock = lock;
    this.#books = books;
    this.#keys = deps.keys;
    this.#lanes = new Lanes(books.headPosition() + 1);
  }

  get epoch(): string {
    return this.#books.ledger.head.epoch;
  }

  /** Of all samples in this epoch, ms since 1970 UTC; null before the first. */
  get newestTs(): number | null {
    return this.#books.ledger.head.to;
  }

  /**
   * Stores one batch; it is on the medium when this returns. Undefined where the spool is full and
   * drop-newest refused it, which is noted as an event. When it throws, nothing was stored, and the same
   * samples may be offered again: SpoolFull where the disk has no room at all, SpoolUnavailable,
   * SpoolDamaged (then close and open again), SpoolClosed.
   */
  enqueue(samples: readonly EncodedSample[]): BatchKey | undefined {
    return this.enqueueAll([samples])[0];
  }

  /** As `enqueue`, for several batches in one commit: one flush for a tick's worth. */
  enqueueAll(batches: readonly (readonly EncodedSample[])[]): (BatchKey | undefined)[] {
    const { whenFull } = this.#options;
    const keys = this.#books.commit((draft) =>
      batches.map((samples) => takeIn(this.#books, draft, samples, whenFull, this.#lanes)),
    );
    this.#rotateWhenDue();
    return keys;
  }

  /**
   * Keeps samples that cannot be dated yet, as bytes of the caller's own; on the medium when it returns.
   * Throws as `enqueue` does, and SpoolFull where there is no room under drop-newest.
   */
  hold(payload: Buffer): void {
    const { whenFull } = this.#options;
    this.#books.commit((draft) => hold(this.#books, draft, payload, whenFull, this.#lanes));
  }

  /**
   * Hands the chunks that `hold` kept to `date`, oldest first, and stores what it makes of each as a batch,
   * in the commit that ends the chunk; how many. A damaged chunk ends with an event.
   */
  release(date: (payload: Buffer) => readonly EncodedSample[]): number {
    const { whenFull } = this.#options;
    let batches = 0;
    for (const number of ascending(this.#books.ledger.held)) {
      const payload = this.#books.readEntry('held', number);
      const samples = payload === undefined ? [] : date(payload);
      this.#books.commit((draft) => {
        letGo(this.#books, draft, number, payload !== undefined);
        if (samples.length === 0) return;
        if (takeIn(this.#books, draft, samples, whenFull, this.#lanes) !== undefined) batches += 1;
      });
    }
    return batches;
  }

  /**
   * Up to `count` batches that are not leased. `fifo`: oldest first. `live-first`: those that came last
   * (see lanes.ts), then the backlog from its oldest on. Damaged ones are quarantined on the way.
   */
  lease(count: number, order: 'live-first' | 'fifo'): LeasedBatch[] {
    this.#books.assertOpen();
    const sound: { position: number; batch: LeasedBatch }[] = [];
    const damaged: number[] = [];
    for (const position of this.#lanes.candidates(this.#books.ledger.waiting, order)) {
      if (sound.length >= count) break;
      const batch = this.#readBatch(position);
      if (batch === undefined) damaged.push(position);
      else sound.push({ position, batch });
    }
    if (damaged.length > 0) this.#condemn(damaged);
    for (const { position, batch } of sound) this.#lanes.lease(position, batch.samples);
    return sound.map(({ batch }) => batch);
  }

  /** Takes the verdicts on leased batches, in one commit; what is not leased is left as it is. */
  settle(verdicts: Verdicts): void {
    const delivered = this.#leased(verdicts.acked);
    const refused = this.#leased(verdicts.rejected);
    const released = this.#leased(verdicts.released);
    this.#books.assertOpen();
    if (delivered.length + refused.length > 0) {
      // Unflushed: a deletion that a power cut takes back is a batch sent twice, and told by its key.
      this.#books.commit((draft) => {
        for (const { position, samples } of delivered) deliver(this.#books, draft, position, samples);
        for (const { position, ref } of refused) {
          const batch = this.#books.read(position);
          if (batch === undefined) condemn(this.#books, draft, position);
          else reject(this.#books, draft, batch.row, ref.reason);
        }
      }, 'written');
    }
    for (const { position } of [...delivered, ...refused, ...released]) this.#lanes.release(position);
  }

  /** Stores an event; it is on the medium when this returns. */
  note(event: EventBody): void {
    this.#books.commit((draft) => this.#books.outbox.note(draft, event));
  }

  /** Up to `count` of the oldest events that are not leased. */
  leaseEvents(count: number): LeasedEvent[] {
    this.#books.assertOpen();
    const { events, damaged } = this.#books.outbox.lease(count);
    if (damaged.length > 0) {
      this.#books.commit((draft) => this.#books.outbox.condemn(draft, damaged));
      this.#deps.logger.error('spool: events are damaged', { events: damaged.length });
    }
    return events;
  }

  /** The broker has these: they leave for good. */
  settleEvents(ids: readonly string[]): void {
    this.#books.commit((draft) => this.#books.outbox.remove(draft, ids), 'written');
    this.#books.outbox.release(ids);
  }

  /** The broker did not answer for these: they are leased again. */
  releaseEvents(ids: readonly string[]): void {
    this.#books.assertOpen();
    this.#books.outbox.release(ids);
  }

  /** What to sign next, where the head moved since the last checkpoint that was saved. */
  checkpointDue(): CheckpointClaims | undefined {
    this.#books.assertOpen();
    const { head, previous, checkpointSeq } = this.#books.ledger;
    if (head.seq === checkpointSeq) return undefined;
    const { tenant, gateway } = this.#deps.origin;
    const claims: CheckpointClaims = { v: 1, tenant, gateway, ...head, at: this.#deps.clock.wallMs() };
    return checkpointSeq === 0 && previous !== null ? { ...claims, previous } : claims;
  }

  /** Keeps the signed checkpoint over the current epoch's batches up to `seq`. */
  saveCheckpoint(jws: string, seq: number): void {
    this.#books.commit((draft) => {
      draft.checkpointSeq = seq;
      this.#books.store.writeCheckpointJws(jws);
    }, 'written');
  }

  lastCheckpoint(): string | undefined {
    this.#books.assertOpen();
    return this.#books.store.checkpointJws();
  }

  /** A new data key seals from now on; those that nothing is sealed with any more are destroyed. */
  rotateKey(): Promise<void> {
    this.#rotation ??= rotateKey(this.#books, this.#keys).finally(() => {
      this.#rotation = undefined;
    });
    return this.#rotation;
  }

  /** Wraps every data key to another key-encryption key; the wrappings before are overwritten. */
  async rekey(newKeys: KeyWrapper): Promise<void> {
    await this.#rotation;
    await rekey(this.#books, newKeys);
    this.#keys = newKeys;
  }

  status(): SpoolStatus {
    this.#books.assertOpen();
    const { store, ledger } = this.#books;
    const { head, waiting, samplesWaiting, events, quarantined, dropped } = ledger;
    const oldest = waiting[0] && store.batchTime(waiting[0][0]);
    return {
      epoch: head.epoch,
      seq: head.seq,
      batches: countOf(waiting),
      samples: samplesWaiting,
      bytes: store.bytes(),
      bytesMax: this.#options.bytesMax,
      oldestAgeMs: oldest === undefined ? null : Math.max(0, this.#deps.clock.wallMs() - oldest),
      quarantined,
      dropped,
      events: countOf(events),
      bytesWritten: this.#meter.bytesWritten(),
    };
  }

  /** Idempotent; everything else throws SpoolClosed afterwards. */
  close(): void {
    this.#books.close();
    this.#lock.release();
  }

  #readBatch(position: number): LeasedBatch | undefined {
    const found = this.#books.read(position);
    if (found === undefined) return undefined;
    const { row, compressed } = found;
    const key = { ...this.#deps.origin, epoch: row.epoch, seq: seqOf(row.position) };
    return { key, payload: decompress(compressed), compressed, samples: row.samples };
  }

  #condemn(positions: readonly number[]): void {
    this.#books.commit((draft) => {
      for (const position of positions) condemn(this.#books, draft, position);
    });
    this.#deps.logger.error('spool: damaged batches quarantined', { batches: positions.length });
  }

  #leased<Ref extends BatchRef>(
    refs: readonly Ref[] = [],
  ): { ref: Ref; position: number; samples: number }[] {
    return refs.flatMap((ref) => {
      const position = this.#books.positionOf(ref);
      const samples = position === undefined ? undefined : this.#lanes.samplesOf(position);
      return position === undefined || samples === undefined ? [] : [{ ref, position, samples }];
    });
  }

  #rotateWhenDue(): void {
    const age = this.#deps.clock.wallMs() - this.#books.keyring.current.since;
    // A key from the future was made while the clock was wrong, and would never grow old.
    const isDue = age >= this.#options.keyPeriodMs || age < 0;
    if (!isDue || this.#rotation !== undefined) return;
    this.rotateKey().catch((error: unknown) => {
      this.#deps.logger.warn('spool: the data key could not be changed', { reason: describeError(error) });
    });
  }
}
