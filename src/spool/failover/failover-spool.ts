import { inBackground } from '../../base/background.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import type { Logger } from '../../base/logger.ts';
import { blankSpoolStatus, type SpoolStatus } from '../../status/status.ts';
import type { BatchKey } from '../../messages/telemetry.ts';
import type { CheckpointClaims } from '../../messages/checkpoint.ts';
import type { EventBody } from '../../messages/event.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import { isDiskFault } from '../storage/disk-error.ts';
import { DiskState } from './disk-state.ts';
import type { BatchRef, LeasedBatch, Settlements } from '../batches/dispatch.ts';
import type { EncodedSample } from '../batches/append.ts';
import type { Order, Reach } from '../batches/leases.ts';
import type { SentCount } from '../state/ledger.ts';
import { type GivenUp, MemoryBatches, type MemoryOptions } from './memory-batches.ts';
import { MemoryEvents } from './memory-events.ts';
import { MemoryUndated } from './memory-undated.ts';
import type { RetainedHead } from '../recovery/new-epoch.ts';
import type { LeasedEvent } from '../event-queue.ts';
import { OwedSettlements } from './owed-settlements.ts';
import type { Spool } from '../spool.ts';

export interface FailoverSpoolDependencies {
  origin: OwnedOrigin;
  clock: Clock;
  logger: Logger;
  /** Opens the spool; asked again for as long as its disk refuses. */
  open(): Promise<Spool>;
  memory: MemoryOptions;
  /** These were given up: no disk took them, and memory had no room. */
  lost(givenUp: GivenUp): void;
  /** For the status. */
  keyPlace?(): Pick<SpoolStatus, 'key'>;
}

/** Characters of a reason in an event. */
const reasonMax = 1000;
/** If no batch comes that could prove the disk, an event does. */
const quietMs = 10_000;
/** Deliveries that wait in memory for the disk; what is behind them waits. */
const deliveredMax = 10_000;

/**
 * Where batches wait until the cloud has them: the spool for as long as its disk takes them, and bounded memory while
 * it does not. It never throws for the disk. What is in memory goes out with `durable: false`, in an epoch of its own
 * (memory-batches.ts); what is still there when the disk works again moves to it.
 */
export class FailoverSpool {
  /** Called when the disk takes batches again. */
  onRecovered: () => void = () => {};
  readonly memory: MemoryBatches;
  readonly #deps: FailoverSpoolDependencies;
  readonly #events: MemoryEvents;
  readonly #undated: MemoryUndated;
  readonly #state: DiskState;
  #disk: Spool | undefined;
  #figures: SpoolStatus;
  /** Monotonic ms. */
  #enqueuedAtMs = -Infinity;
  #isOpening = false;
  #isClosed = false;
  readonly #owedSettlements = new OwedSettlements();
  #delivered = 0;
  #unsavedCheckpoint: string | undefined;
  #sent: SentCount | undefined;
  /** What dates the samples that the disk holds, and are older than those in memory. */
  #date: ((payload: Buffer) => readonly EncodedSample[]) | undefined;

  /** Throws what `open` throws, the disk's faults apart. */
  static async open(deps: FailoverSpoolDependencies, bytesMax: number): Promise<FailoverSpool> {
    const storage = new FailoverSpool(deps, bytesMax);
    try {
      storage.#disk = await deps.open();
    } catch (error) {
      if (!isDiskFault(error)) throw error;
      storage.#fail(error);
    }
    return storage;
  }

  private constructor(deps: FailoverSpoolDependencies, bytesMax: number) {
    const { origin, clock, memory } = deps;
    this.#deps = deps;
    this.memory = new MemoryBatches(origin, memory, clock);
    this.#events = new MemoryEvents(origin);
    this.#undated = new MemoryUndated(memory.bytesMax);
    this.#state = new DiskState(deps);
    this.#figures = blankSpoolStatus(this.memory.head.epoch, bytesMax);
  }

  get epoch(): string {
    return this.#disk?.epoch ?? this.memory.head.epoch;
  }

  /** As the spool's; null if there is none. */
  get newestTs(): number | null {
    return this.#disk?.newestTs ?? null;
  }

  get isFailing(): boolean {
    return this.#state.isFailing;
  }

  /** Whether it is the disk that bounds the spool, and not its quota. */
  get isShortOfDisk(): boolean {
    return this.isFailing || this.#disk?.isShortOfDisk === true;
  }

  /** Whether anything here would be lost with the process. */
  get isHoldingInMemory(): boolean {
    return this.memory.count + this.#events.count + this.#undated.count > 0;
  }

  /** `memory`: no disk took it. Undefined where drop-newest refused it. */
  enqueue(samples: readonly EncodedSample[]): BatchKey | 'memory' | undefined {
    this.#enqueuedAtMs = this.#deps.clock.monotonicMs();
    if (this.#disk !== undefined && this.#state.mayTry() && this.#moveWaiting()) {
      const stored = this.#attempt((disk) => ({ key: disk.enqueue(samples) }));
      if (stored !== undefined) {
        this.#recover();
        return stored.key;
      }
    }
    for (const givenUp of this.memory.add(samples)) this.#deps.lost(givenUp);
    return 'memory';
  }

  /** As the spool's `hold`. */
  hold(payload: Buffer): void {
    if (!this.isFailing && this.#attempt((disk) => (disk.hold(payload), true)) === true) return;
    for (const givenUp of this.#undated.add(payload)) this.#deps.lost(givenUp);
  }

  /** As the spool's `release`. What a failing disk holds waits until it works again. */
  release(date: (payload: Buffer) => readonly EncodedSample[]): number {
    const released = this.isFailing ? undefined : this.#attempt((disk) => disk.release(date));
    this.#date = released === undefined ? date : undefined;
    let batches = released ?? 0;
    for (let payload = this.#undated.take(); payload !== undefined; payload = this.#undated.take()) {
      if (this.enqueue(date(payload)) !== undefined) batches += 1;
    }
    return batches;
  }

  /** As the spool's; what is in memory is live. */
  lease(count: number, order: Order, reach: Reach = 'all'): LeasedBatch[] {
    if (order === 'live-first') {
      const live = this.memory.lease(count);
      return [...live, ...this.#leaseStored(count - live.length, order, reach)];
    }
    const stored = this.#leaseStored(count, order, reach);
    // Nothing may overtake a backlog that has to wait.
    const isBlocked = stored.length > 0 || (reach === 'live' && this.#stored().batches > 0);
    return isBlocked ? stored : this.memory.lease(count);
  }

  /** As the spool's. */
  leaveIfSetBack(kept: RetainedHead): boolean {
    return this.#attempt((disk) => disk.leaveIfSetBack(kept)) ?? false;
  }

  /** As the spool's. Throws SpoolUnavailable where its disk fails. */
  retryRejected(): number {
    return this.#attempt((disk) => disk.retryRejected()) ?? this.#state.unavailable();
  }

  beginLive(): void {
    this.#attempt((disk) => (disk.beginLive(), true));
  }

  settle({ acked = [], rejected = [], released = [] }: Settlements): void {
    const isStored = (ref: BatchRef): boolean => !this.memory.has(ref);
    const stored = { acked: acked.filter(isStored), released: released.filter(isStored) };
    this.#owedSettlements.reject(rejected.filter(isStored));
    for (const event of this.memory.settle({ acked, rejected, released })) this.note(event);
    if (this.isFailing) this.#delivered += stored.acked.length;
    this.#attempt((disk) => (disk.settle({ released: stored.released }), true));
    this.#attempt((disk) => (disk.settle({ acked: stored.acked }), true));
    this.#pay();
  }

  /** As the spool's, but it does not throw: what the disk does not take waits in memory, and is sent from there. */
  note(event: EventBody): void {
    if (!this.isFailing && this.#attempt((disk) => (disk.note(event), true)) === true) return;
    this.#events.add(event, Math.round(this.#deps.clock.wallMs()));
  }

  leaseEvents(count: number): LeasedEvent[] {
    const stored = this.#attempt((disk) => disk.leaseEvents(count)) ?? [];
    return [...stored, ...this.#events.lease(count - stored.length)];
  }

  settleEvents(ids: readonly string[]): void {
    this.#owedSettlements.settleEvents(ids.filter((id) => !this.#events.has(id)));
    this.#events.settle(ids);
    this.#pay();
  }

  releaseEvents(ids: readonly string[]): void {
    this.#events.release(ids);
    this.#attempt(
      (disk) => (disk.releaseEvents(ids.filter((id) => !this.#owedSettlements.hasEvent(id))), true),
    );
  }

  checkpointDue(): CheckpointClaims | undefined {
    return this.#attempt((disk) => disk.checkpointDue());
  }

  saveCheckpoint(jws: string, seq: number): void {
    const isSaved = this.#attempt((disk) => (disk.saveCheckpoint(jws, seq), true)) === true;
    this.#unsavedCheckpoint = isSaved ? undefined : jws;
  }

  lastCheckpoint(): string | undefined {
    return this.#unsavedCheckpoint ?? this.#attempt((disk) => disk.lastCheckpoint());
  }

  get sent(): SentCount | undefined {
    return this.#sent ?? this.#disk?.sent;
  }

  keepSent(sent: SentCount, when: 'along' | 'now'): void {
    this.#sent = sent;
    this.#attempt((disk) => (disk.keepSent(sent, this.isFailing ? 'along' : when), true));
  }

  async rotateKey(): Promise<void> {
    await this.#disk?.rotateKey();
  }

  bytesInUse(): number {
    return this.#stored().bytesInUse;
  }

  status(): SpoolStatus {
    const stored = this.#stored();
    return {
      ...stored,
      batches: stored.batches + this.memory.count,
      samples: stored.samples + this.memory.samples,
      events: stored.events + this.#events.count,
      ...this.#deps.keyPlace?.(),
      disk: this.#state.status(),
    };
  }

  /** Once a second: tries a disk that fails, where nothing else does. */
  tick(): void {
    const { waiting } = this.memory;
    const isProvedElsewhere = this.#disk !== undefined && waiting === 0 && !this.#isQuiet();
    if (!this.isFailing || isProvedElsewhere || !this.#state.mayTry()) return;
    if (this.#disk === undefined) return this.#openAgain();
    if (waiting > 0 ? this.#moveWaiting() : this.#moveEvent()) return this.#recover();
    if (waiting > 0 || this.#events.oldest !== undefined) return;
    const event = this.#recovery();
    if (this.#attempt((disk) => (disk.note(event), true)) === true) this.#recover(true);
  }

  /** Gives up what is in memory, and reports it if it can. Before `close`, once nothing more is sent. */
  giveUpMemory(): void {
    if (this.isFailing && this.#disk !== undefined && this.#moveWaiting()) this.#recover();
    const { givenUp, events } = this.memory.giveUp('no disk took it before the gateway stopped');
    const lost = [...givenUp, ...this.#undated.giveUp()];
    for (const each of lost) this.#deps.lost(each);
    const samples = lost.reduce((sum, each) => sum + each.samples, 0);
    if (samples > 0) this.#deps.logger.error('samples that no disk took are lost', { samples });
    for (const event of events) this.note(event);
  }

  /** Idempotent. What is in memory is gone. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#events.count > 0) {
      this.#deps.logger.error('events that no disk took are lost', { events: this.#events.count });
    }
    this.#closeDisk();
  }

  #leaseStored(count: number, order: Order, reach: Reach): LeasedBatch[] {
    if (count <= 0 || this.#delivered >= deliveredMax) return [];
    return this.#attempt((disk) => disk.lease(count, order, reach)) ?? [];
  }

  /** To the disk what was never sent, oldest first; false where the disk takes no more. */
  #moveWaiting(): boolean {
    const date = this.#date;
    if (date !== undefined && this.#attempt((disk) => disk.release(date)) === undefined) return false;
    this.#date = undefined;
    for (let oldest = this.memory.oldest; oldest !== undefined; oldest = this.memory.oldest) {
      const samples = oldest;
      if (this.#attempt((disk) => ({ key: disk.enqueue(samples) })) === undefined) return false;
      this.memory.shift();
    }
    return true;
  }

  /** The same for the oldest event that is not in flight; false also if there is none. */
  #moveEvent(): boolean {
    const event = this.#events.oldest;
    if (event === undefined) return false;
    if (this.#attempt((disk) => (disk.keepEvent(event), true)) === undefined) return false;
    this.#events.settle([event.id]);
    return true;
  }

  #isQuiet(): boolean {
    return this.#deps.clock.monotonicMs() - this.#enqueuedAtMs >= quietMs;
  }

  #recover(isReported = false): void {
    if (!this.isFailing) return;
    const event = this.#recovery();
    this.#state.recover();
    this.#delivered = 0;
    while (this.#moveEvent());
    if (this.isFailing) return;
    if (!isReported) this.note(event);
    this.#pay();
    while (!this.isFailing && this.#undated.count > 0) this.hold(this.#undated.take()!);
    this.onRecovered();
  }

  #recovery(): EventBody {
    const { reason, forMs } = this.#state.fault;
    const { epoch } = this.memory.head;
    return { kind: 'storage-failed', state: 'ended', epoch, reason: reason.slice(0, reasonMax), forMs };
  }

  #pay(): void {
    if (!this.isFailing) this.#owedSettlements.pay((work) => this.#attempt(work));
  }

  #attempt<T>(work: (disk: Spool) => T): T | undefined {
    if (this.#disk === undefined) return undefined;
    try {
      return work(this.#disk);
    } catch (error) {
      if (error instanceof MerestoneError && error.code === 'SpoolClosed') throw error;
      this.#fail(error);
      return undefined;
    }
  }

  #fail(error: unknown): void {
    const isDamaged = error instanceof MerestoneError && error.code === 'SpoolDamaged';
    const isNew = this.#state.fail(describeError(error));
    if (isDamaged) {
      this.#closeDisk();
      this.#state.retryNow();
    }
    if (!isNew) return;
    const reason = this.#state.fault.reason.slice(0, reasonMax);
    const { epoch } = this.memory.head;
    const event: EventBody = { kind: 'storage-failed', state: 'began', reason, epoch, forMs: 0 };
    this.#events.add(event, Math.round(this.#deps.clock.wallMs()));
  }

  #openAgain(): void {
    if (this.#isOpening) return;
    this.#isOpening = true;
    const opened = this.#deps.open().then((disk) => {
      this.#isOpening = false;
      if (this.#isClosed) return disk.close();
      this.#disk = disk;
      if (this.#sent !== undefined) disk.keepSent(this.#sent, 'along');
      if (this.#moveWaiting()) this.#recover();
    });
    inBackground(opened, (error) => {
      this.#isOpening = false;
      this.#fail(error);
    });
  }

  #closeDisk(): void {
    const disk = this.#disk;
    this.#disk = undefined;
    try {
      this.#figures = disk?.status() ?? this.#figures;
    } catch {
      // The figures before stand.
    }
    try {
      disk?.close();
    } catch (error) {
      this.#deps.logger.warn('the spool was not closed well', { reason: describeError(error) });
    }
  }

  #stored(): SpoolStatus {
    this.#figures = this.#attempt((disk) => disk.status()) ?? this.#figures;
    this.#state.observe(this.#figures.dropped, this.#disk?.isShortOfDisk === true);
    return this.#figures;
  }
}
