import type { Cancel } from '../base/clock.ts';
import { describeError } from '../base/error.ts';
import { FaultState } from '../base/fault-state.ts';
import type { SpoolStatus } from '../status/status.ts';
import type { BatchKey } from '../messages/telemetry.ts';
import type { CheckpointClaims } from '../messages/checkpoint.ts';
import type { EventBody, StreamEvent } from '../messages/event.ts';
import type { SpoolFile, NextLedger } from './state/spool-file.ts';
import { markDamaged, reinstateAll } from './batches/removal.ts';
import type { SpoolDependencies } from './spool-dependencies.ts';
import { Dispatch, type LeasedBatch, type Settlements } from './batches/dispatch.ts';
import { makeRoom, noRoom } from './batches/eviction.ts';
import { figuresOf } from './spool-status.ts';
import { filesOf } from './storage/layout.ts';
import { hold, letGo } from './batches/undated.ts';
import { type EncodedSample, takeIn } from './batches/append.ts';
import type { KeyWrapper } from './sealing/keyring.ts';
import type { Order, Reach } from './batches/leases.ts';
import type { Head, SentCount } from './state/ledger.ts';
import { holdLock, type Lock } from './storage/lock.ts';
import { beginEpoch, type RetainedHead, renumber, storedSince, whySetBack } from './recovery/new-epoch.ts';
import { isDiskFault } from './storage/disk-error.ts';
import { openSpoolFile } from './recovery/open.ts';
import type { SpoolOptions } from './options.ts';
import type { LeasedEvent } from './event-queue.ts';
import { quotaOf } from './storage/page-budget.ts';
import { Rotation } from './key-rotation.ts';
import { ascending } from '../base/ranges.ts';
import type { Durability } from './storage/database.ts';

export type { BatchRef, LeasedBatch, Settlements } from './batches/dispatch.ts';
export type { SpoolDependencies } from './spool-dependencies.ts';
export type { EncodedSample } from './batches/append.ts';
export type { KeyWrapper } from './sealing/keyring.ts';
export type { Reach } from './batches/leases.ts';
export type { SentCount } from './state/ledger.ts';
export type { LeasedEvent } from './event-queue.ts';

/** Deliveries wait this long for another commit to take them along. */
const clearingDelayMs = 2000;

/**
 * Where batches wait until the broker has taken them: one SQLite file of one tenant's gateway. The silo's
 * failover spool (failover-spool.ts) opens it and stores in memory while its disk fails; the commands
 * `spool …` read it offline (offline-spool.ts).
 *
 * Invariants
 *  1. What `enqueue` returned a key for is on the medium (WAL, synchronous=FULL), and leaves it only in one
 *     of the ways that removal.ts lists.
 *  2. `seq` counts the batches of an epoch from 1 without a hole or a repetition, over crashes too. Where
 *     the end of an epoch is not known any more, a new epoch begins, and an event says so.
 *  3. Nothing of a batch is in clear text except its place, its times, its number of samples and its chain
 *     values, and no bit of row, place or tenant can be changed unnoticed (sealed-batch.ts).
 *  4. A file is one tenant's and gateway's for good: its ledger names them, under a key that only that
 *     silo's key-encryption key unwraps (open.ts).
 *  5. All files together stay under `bytesMax` and leave the disk its floor. What happens when full is a policy: an
 *     event names what was dropped, with the chain value before and after it (eviction.ts).
 *  6. A damaged file loses what is damaged and nothing else. It is set aside and never deleted; what
 *     authenticates is forwarded under its own epoch and seq, and events name the rest (recovery/).
 *  7. Memory is flat: a million batches that wait are one run of positions (ranges.ts).
 *
 * Tables (database-schema.ts)
 *     ledger      one row, authenticated: whose file, the chain's head, what waits, what does not (ledger.ts)
 *     batch       a sealed batch a row, in publishing order
 *     entry       sealed events, and sealed samples that wait for their time to be known
 *     key         data keys, wrapped; key_copy has them again on another page
 *     checkpoint  the last signature over the head
 *
 * Deletion rule
 *     A batch's row is deleted when the broker has taken it (`settle`), or when room is needed and
 *     the user's policy is drop-oldest. A refused batch stays until room is needed, a damaged one for good.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #deps: SpoolDependencies;
  readonly #spoolFile: SpoolFile;
  readonly #dispatch: Dispatch;
  readonly #rotation: Rotation;
  /** As it was found at opening. */
  readonly #openedHead: Head;
  readonly #clearing: FaultState;
  #lock: Lock;
  #cancelClearing: Cancel | undefined;

  /**
   * Opens the spool in `options.directory`, or makes it. A damaged one is set aside, and what is sound in
   * it goes into a new one. Throws SpoolForeign where the file is another tenant's or gateway's, SpoolHeld
   * where a process has it open, KeyUnavailable where its keys are wrapped to another key,
   * SpoolUnavailable or SpoolFull where the disk refuses.
   */
  static async open(options: SpoolOptions, deps: SpoolDependencies): Promise<Spool> {
    const quota = quotaOf(options.bytesMax);
    const lock = holdLock(options.directory);
    try {
      const spoolFile = await openSpoolFile(filesOf(options.directory), quota, deps);
      const spool = new Spool(options, deps, lock, spoolFile);
      await spool.#rotation.adopt();
      return spool;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(options: SpoolOptions, deps: SpoolDependencies, lock: Lock, spoolFile: SpoolFile) {
    this.#options = options;
    this.#deps = deps;
    this.#lock = lock;
    this.#spoolFile = spoolFile;
    this.#dispatch = new Dispatch(spoolFile);
    this.#openedHead = spoolFile.ledger.head;
    this.#clearing = new FaultState('spool: forgetting what was delivered', deps);
    this.#rotation = new Rotation(spoolFile, deps.keys, options.keyPeriodMs, deps.logger);
  }

  get epoch(): string {
    return this.#spoolFile.ledger.head.epoch;
  }

  /** Of all samples in this epoch, ms since 1970 UTC; null before the first. */
  get newestTs(): number | null {
    return this.#spoolFile.ledger.head.to;
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
    const keys = this.#commit((next) => batches.map((samples) => this.#takeIn(next, samples)));
    this.#rotation.rotateWhenDue();
    return keys;
  }

  /**
   * Keeps samples that cannot be dated yet, as bytes of the caller's own; on the medium when it returns.
   * Throws as `enqueue` does, and SpoolFull where there is no batch that the policy would give up for it.
   */
  hold(payload: Buffer): void {
    this.#commit((next) =>
      hold(this.#spoolFile, next, payload, this.#options.whenFull, this.#dispatch.leases),
    );
  }

  /**
   * Hands the chunks that `hold` kept to `date`, oldest first, and stores what it makes of each as a batch,
   * in the commit that ends the chunk; how many. A damaged chunk ends with an event.
   */
  release(date: (payload: Buffer) => readonly EncodedSample[]): number {
    this.#spoolFile.assertOpen();
    let batches = 0;
    for (const number of ascending(this.#spoolFile.ledger.held)) {
      const payload = this.#spoolFile.readEntry('held', number);
      const samples = payload === undefined ? [] : date(payload);
      const key = this.#commit((next) => {
        letGo(this.#spoolFile, next, number, payload !== undefined);
        return samples.length === 0 ? undefined : this.#takeIn(next, samples);
      });
      if (key !== undefined) batches += 1;
    }
    return batches;
  }

  /**
   * Up to `count` batches that are not leased. `fifo`: oldest first. `live-first`: those that came last
   * (see tenant-turns.ts), then the backlog from its oldest on; with `reach` live, no backlog, and under fifo
   * nothing while there is one. Damaged ones are quarantined on the way.
   */
  lease(count: number, order: Order, reach: Reach = 'all'): LeasedBatch[] {
    this.#spoolFile.assertOpen();
    const { batches, damaged } = this.#dispatch.next(count, order, reach);
    this.#dispatch.lease(batches);
    if (damaged.length > 0) this.#markDamaged(damaged);
    return batches;
  }

  /**
   * Compares the spool with a signed head of its own that another party kept, before anything was sent. Where the
   * folder was set back, a new epoch begins, and what was stored since is moved to it; true then.
   */
  leaveIfSetBack(kept: RetainedHead): boolean {
    const reason = whySetBack(this.#spoolFile, this.#openedHead, kept);
    if (reason === undefined) return false;
    const moving = storedSince(this.#spoolFile, this.#openedHead, kept);
    this.#commit((next) => beginEpoch(this.#spoolFile, next, reason, kept));
    for (const position of moving) {
      this.#commit((next) => renumber(this.#spoolFile, next, position, (all) => this.#takeIn(next, all)));
    }
    this.#deps.logger.error('spool: set back, a new epoch begins', { reason, batches: moving.length });
    return true;
  }

  /** What waits now is backlog: under live-first, what comes from now on goes before it. For a new session. */
  beginLive(): void {
    this.#spoolFile.assertOpen();
    this.#dispatch.leases.beginLive(this.#spoolFile.headPosition() + 1);
  }

  /** Takes the verdicts on leased batches; those on others are left alone. */
  settle(settlements: Settlements): void {
    this.#spoolFile.assertOpen();
    const { acked, rejected = [], released } = settlements;
    const isDue = this.#dispatch.deliver(acked);
    if (rejected.length > 0) this.#commit((next) => this.#dispatch.reject(next, rejected));
    else if (isDue) this.#commit(() => {}, 'written');
    else this.#clearLater();
    this.#dispatch.release(rejected);
    this.#dispatch.giveBack(released);
  }

  /** What the broker refused for good waits again, on the medium when this returns; how many batches. */
  retryRejected(): number {
    return this.#commit((next) => reinstateAll(this.#spoolFile, next));
  }

  /** Stores an event; it is on the medium when this returns. Throws as `enqueue` does. */
  note(event: EventBody): void {
    this.#commitEvent(event, (next) => this.#spoolFile.eventQueue.note(next, event));
  }

  /** The same for one that has its id and time. */
  keepEvent(event: StreamEvent): void {
    this.#commitEvent(event, (next) => this.#spoolFile.eventQueue.keep(next, event));
  }

  /** Up to `count` of the oldest events that are not leased. */
  leaseEvents(count: number): LeasedEvent[] {
    this.#spoolFile.assertOpen();
    const { eventQueue } = this.#spoolFile;
    const { events, damaged } = eventQueue.next(count);
    if (damaged.length > 0) {
      this.#commit((next) => eventQueue.markDamaged(next, damaged));
      this.#deps.logger.error('spool: events are damaged', { events: damaged.length });
    }
    eventQueue.lease(events);
    return events;
  }

  /** The broker has these: they leave for good. */
  settleEvents(ids: readonly string[]): void {
    this.#commit((next) => this.#spoolFile.eventQueue.remove(next, ids), 'written');
    this.#spoolFile.eventQueue.release(ids);
  }

  /** The broker did not answer for these: they are leased again. */
  releaseEvents(ids: readonly string[]): void {
    this.#spoolFile.assertOpen();
    this.#spoolFile.eventQueue.release(ids);
  }

  /** What to sign next, where the head moved since the last checkpoint that was saved. */
  checkpointDue(): CheckpointClaims | undefined {
    this.#spoolFile.assertOpen();
    const { head, previous, checkpointSeq } = this.#spoolFile.ledger;
    if (head.seq === checkpointSeq) return undefined;
    const { tenant, gateway } = this.#deps.origin;
    const claims: CheckpointClaims = { v: 1, tenant, gateway, ...head, at: this.#deps.clock.wallMs() };
    return checkpointSeq === 0 && previous !== null ? { ...claims, previous } : claims;
  }

  /** Keeps the signed checkpoint over the current epoch's batches up to `seq`. */
  saveCheckpoint(jws: string, seq: number): void {
    this.#commit((next) => {
      next.checkpointSeq = seq;
      this.#spoolFile.database.writeCheckpointJws(jws);
    }, 'written');
  }

  /** As it was kept last; undefined where it never was. */
  get sent(): SentCount | undefined {
    return this.#spoolFile.ledger.sent;
  }

  /**
   * Keeps the caller's count of what was sent. `along`: it reaches the medium with the next delivery or event
   * that is written. `now`: on the medium when this returns; throws as `enqueue` does, and is kept along all the same.
   */
  keepSent(sent: SentCount, when: 'along' | 'now'): void {
    this.#spoolFile.carrySent(sent);
    if (when === 'along') return;
    this.#commit((next) => {
      next.sent = { ...sent };
    });
  }

  lastCheckpoint(): string | undefined {
    this.#spoolFile.assertOpen();
    return this.#spoolFile.database.checkpointJws();
  }

  /** A new data key seals from now on; those that nothing is sealed with any more are destroyed. */
  rotateKey(): Promise<void> {
    return this.#rotation.rotate();
  }

  /** Wraps every data key to another key-encryption key; the wrappings before are overwritten. */
  rekey(newKeys: KeyWrapper): Promise<void> {
    return this.#rotation.rekey(newKeys);
  }

  /** Whether the disk bounds it, as of the last commit, and not `bytesMax`. */
  get isShortOfDisk(): boolean {
    return this.#spoolFile.database.isShortOfDisk();
  }

  /** Of `bytesMax`, what is in use: the files less the free pages in them, which they keep. */
  bytesInUse(): number {
    this.#spoolFile.assertOpen();
    return this.#spoolFile.database.bytes() - this.#spoolFile.database.freeBytes();
  }

  status(): SpoolStatus {
    this.#spoolFile.assertOpen();
    return figuresOf(this.#spoolFile, this.#dispatch, this.#options.bytesMax, this.#deps.clock.wallMs());
  }

  /** Idempotent; everything else throws SpoolClosed afterwards. */
  close(): void {
    this.#cancelClearing?.();
    if (this.#spoolFile.isOpen && this.#dispatch.delivered().batches > 0) this.#clear();
    this.#spoolFile.close();
    this.#lock.release();
  }

  /** A disk that takes nothing does not keep the sound ones back: the damaged are found again at the next lease. */
  #markDamaged(damaged: readonly number[]): void {
    try {
      this.#commit((next) => damaged.forEach((position) => markDamaged(this.#spoolFile, next, position)));
    } catch (error) {
      if (!isDiskFault(error)) throw error;
      return;
    }
    this.#deps.logger.error('spool: batches are damaged', { batches: damaged.length });
  }

  #commitEvent(event: EventBody, write: (next: NextLedger) => void): void {
    const bytes = JSON.stringify(event).length;
    this.#commit((next) => {
      const hasRoom = makeRoom(this.#spoolFile, next, bytes, this.#options.whenFull, this.#dispatch.leases);
      if (!hasRoom) throw noRoom(this.#spoolFile);
      write(next);
    });
  }

  #takeIn(next: NextLedger, samples: readonly EncodedSample[]): BatchKey | undefined {
    return takeIn(this.#spoolFile, next, samples, this.#options.whenFull, this.#dispatch.leases);
  }

  /** Every commit takes along what was delivered since the last one. */
  #commit<T>(change: (next: NextLedger) => T, durability: Durability = 'flushed'): T {
    if (this.#spoolFile.isOpen && this.#spoolFile.database.isReplaced()) this.#comeAshore();
    const result = this.#spoolFile.commit((next) => {
      this.#dispatch.clear(next);
      return change(next);
    }, durability);
    this.#dispatch.cleared();
    this.#cancelClearing?.();
    this.#cancelClearing = undefined;
    return result;
  }

  #clearLater(): void {
    if (this.#dispatch.delivered().batches === 0) return;
    this.#cancelClearing ??= this.#deps.clock.after(clearingDelayMs, () => this.#clear());
  }

  /** Where the disk refuses, the rows stay, and their batches may be sent twice. */
  #clear(): void {
    this.#cancelClearing = undefined;
    try {
      this.#commit(() => {}, 'written');
      this.#clearing.clear();
    } catch (error) {
      this.#clearing.fail(describeError(error));
    }
  }

  /** The file or its folder was deleted while in use: it is written again from the open file. */
  #comeAshore(): void {
    this.#lock.release();
    this.#lock = holdLock(this.#options.directory);
    this.#spoolFile.writeAnew();
    this.#deps.logger.error('spool: its file was gone, and was written anew', { epoch: this.epoch });
  }
}
