import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import { type EntryKind, openEntry, sealEntry } from '../sealing/sealed-entry.ts';
import type { DataKey, Keyring } from '../sealing/keyring.ts';
import { currentEpochNumber, followsFromBatches, type Ledger, sealLedger, type SentCount } from './ledger.ts';
import { EventQueue } from '../event-queue.ts';
import { positionOf } from './position.ts';
import type { BatchRow } from '../storage/database-schema.ts';
import type { CipherName } from '../../base/cipher.ts';
import { openBatch } from '../sealing/sealed-batch.ts';
import type { Durability, SpoolDatabase } from '../storage/database.ts';
import { HighWaterMark } from './high-water-mark.ts';

/** Opening reads the batches that came since the ledger was written: this many at most. */
export const ledgerBehindMax = 256;

/** A ledger in the making: with the commit it is the ledger, or it never was. */
export type NextLedger = Ledger;

export interface SpoolFileParts {
  origin: OwnedOrigin;
  database: SpoolDatabase;
  keyring: Keyring;
  cipher: CipherName;
  clock: Clock;
  ledger: Ledger;
  /** The head's seq in the ledger that the file has; -Infinity where it has none. */
  seqInFile: number;
  /** The file turned out to be damaged; told once. */
  onDamage: () => void;
}

/** The open file and what is known of it. Every change is one commit of rows and ledger together. */
export class SpoolFile {
  readonly origin: OwnedOrigin;
  readonly database: SpoolDatabase;
  readonly keyring: Keyring;
  readonly cipher: CipherName;
  readonly clock: Clock;
  readonly eventQueue: EventQueue;
  readonly #onDamage: () => void;
  #highWaterMark: HighWaterMark;
  #ledger: Ledger;
  #seqInFile: number;
  #keyInFile: DataKey;
  #state: 'open' | 'damaged' | 'closed' = 'open';

  constructor(parts: SpoolFileParts) {
    this.origin = parts.origin;
    this.database = parts.database;
    this.keyring = parts.keyring;
    this.cipher = parts.cipher;
    this.clock = parts.clock;
    this.eventQueue = new EventQueue(this);
    this.#onDamage = parts.onDamage;
    this.#highWaterMark = new HighWaterMark(parts.database.files.highWaterMark);
    this.#ledger = parts.ledger;
    this.#seqInFile = parts.seqInFile;
    this.#keyInFile = parts.keyring.current;
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The position of a batch of an epoch that this file knows. */
  positionOf(ref: { epoch: string; seq: number }): number | undefined {
    const epoch = this.#ledger.epochs.find(({ id }) => id === ref.epoch);
    return epoch && positionOf(epoch.number, ref.seq);
  }

  headPosition(): number {
    return positionOf(currentEpochNumber(this.#ledger), this.#ledger.head.seq);
  }

  /** All of `change`, or none of it. Throws what the store throws, and SpoolClosed. */
  commit<T>(change: (next: NextLedger) => T, durability: Durability = 'flushed'): T {
    return this.#attempt(() => {
      try {
        return this.#commit(change, durability);
      } catch (error) {
        if (!isDiskFull(error) || !this.database.letGoReserve()) throw error;
        return this.#commit(change, durability);
      }
    });
  }

  /** A count that is written whenever the ledger is, and is no reason to write it. */
  carrySent(sent: SentCount): void {
    this.assertOpen();
    this.#ledger = { ...this.#ledger, sent };
  }

  /** A batch whose every bit authenticates, with its zstd; undefined if missing or not authentic. */
  read(position: number): { row: BatchRow; compressed: Buffer } | undefined {
    const row = this.#attempt(() => this.database.batch(position));
    const compressed = row && openBatch(this.origin, row, this.keyring);
    return row && compressed && { row, compressed };
  }

  /** Within a commit. */
  writeEntry(kind: EntryKind, number: number, content: Uint8Array): void {
    this.database.writeEntry(sealEntry(this.origin, kind, number, content, this.keyring, this.cipher));
  }

  /** Undefined if missing or not authentic. */
  readEntry(kind: EntryKind, number: number): Buffer | undefined {
    const row = this.#attempt(() => this.database.entry(number));
    return row && openEntry(this.origin, kind, row, this.keyring);
  }

  assertOpen(): void {
    if (this.#state === 'open') return;
    if (this.#state === 'closed') throw new MerestoneError('SpoolClosed', 'the spool is closed');
    throw new MerestoneError('SpoolDamaged', 'the spool was found damaged', {
      subject: this.database.files.database,
      hint: 'close it and open it again: what is sound will be salvaged',
      retryable: true,
    });
  }

  #commit<T>(change: (next: NextLedger) => T, durability: Durability): T {
    const next: NextLedger = { ...this.#ledger };
    let isWritten = false;
    try {
      const result = this.database.commit(() => {
        const made = change(next);
        isWritten = this.#isDue(next);
        if (isWritten) this.#write(next);
        return made;
      }, durability);
      this.#ledger = next;
      if (isWritten) [this.#seqInFile, this.#keyInFile] = [next.head.seq, this.keyring.current];
      if (durability === 'flushed') this.#writeHighWaterMark();
      return result;
    } catch (error) {
      this.eventQueue.rolledBack();
      throw error;
    }
  }

  #write(next: NextLedger): void {
    next.revision += 1;
    this.database.writeLedger(sealLedger(next, this.keyring.current, this.cipher));
  }

  #writeHighWaterMark(): void {
    const { head, nextEntry } = this.#ledger;
    this.#highWaterMark.write({ epoch: head.epoch, seq: head.seq, nextEntry });
  }

  #attempt<T>(work: () => T): T {
    this.assertOpen();
    try {
      return work();
    } catch (error) {
      const isNew = error instanceof MerestoneError && error.code === 'SpoolDamaged';
      if (isNew && this.#state === 'open') {
        this.#state = 'damaged';
        this.#reportDamage();
      }
      throw error;
    }
  }

  /** On a disk that takes nothing the file keeps its name, and the next opening finds out by itself. */
  #reportDamage(): void {
    try {
      this.#onDamage();
    } catch {
      // The damage is the fault to report.
    }
  }

  #isDue(next: NextLedger): boolean {
    if (next.head.seq - this.#seqInFile >= ledgerBehindMax) return true;
    return this.keyring.current !== this.#keyInFile || !followsFromBatches(this.#ledger, next);
  }

  /** The whole file where it was, with a high-water mark of its own. */
  writeAnew(): void {
    this.database.writeAnew();
    this.#highWaterMark.close();
    this.#highWaterMark = new HighWaterMark(this.database.files.highWaterMark);
  }

  /** Idempotent. A damaged file keeps its rows for the salvage at the next opening. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.database.close();
    this.#highWaterMark.close();
  }
}

/** Told by SQLite or the system, and not by us before they were asked. */
function isDiskFull(error: unknown): boolean {
  return error instanceof MerestoneError && error.code === 'DiskFull' && error.cause !== undefined;
}
