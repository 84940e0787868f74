import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import type { Origin } from '../../messages/topic.ts';
import { type EntryKind, openEntry, sealEntry } from '../sealing/sealed-entry.ts';
import type { DataKey, Keyring } from '../sealing/keyring.ts';
import { currentEpochNumber, isToldByBatches, type Ledger, sealLedger, type SentCount } from './ledger.ts';
import { Outbox } from '../event-queue.ts';
import { positionOf } from './position.ts';
import type { BatchRow } from '../storage/database-schema.ts';
import type { CipherName } from '../../base/cipher.ts';
import { openBatch } from '../sealing/sealed-batch.ts';
import type { Durability, Store } from '../storage/database.ts';
import { Witness } from './high-water-mark.ts';

/** Opening reads the batches that came since the ledger was written: so many at most. */
export const ledgerBehindMax = 256;

/** A ledger in the making: with the commit it is the ledger, or it never was. */
export type Draft = Ledger;

export interface BooksParts {
  origin: Origin;
  store: Store;
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
export class Books {
  readonly origin: Origin;
  readonly store: Store;
  readonly keyring: Keyring;
  readonly cipher: CipherName;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly #onDamage: () => void;
  #witness: Witness;
  #ledger: Ledger;
  #seqInFile: number;
  #keyInFile: DataKey;
  #state: 'open' | 'damaged' | 'closed' = 'open';

  constructor(parts: BooksParts) {
    this.origin = parts.origin;
    this.store = parts.store;
    this.keyring = parts.keyring;
    this.cipher = parts.cipher;
    this.clock = parts.clock;
    this.outbox = new Outbox(this);
    this.#onDamage = parts.onDamage;
    this.#witness = new Witness(parts.store.files.witness);
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
  commit<T>(change: (draft: Draft) => T, durability: Durability = 'flushed'): T {
    return this.#attempt(() => {
      try {
        return this.#commit(change, durability);
      } catch (error) {
        if (!isDiskFull(error) || !this.store.letGoReserve()) throw error;
        return this.#commit(change, durability);
      }
    });
  }

  /** A count that is written whenever the ledger is, and is no reason to write it. */
  carrySent(sent: SentCount): void {
    this.assertOpen();
    this.#ledger = { ...this.#ledger, sent };
  }

  /** A batch whose every bit authenticates, with its zstd; undefined where there is none such. */
  read(position: number): { row: BatchRow; compressed: Buffer } | undefined {
    const row = this.#attempt(() => this.store.batch(position));
    const compressed = row && openBatch(this.origin, row, this.keyring);
    return row && compressed && { row, compressed };
  }

  /** Within a commit. */
  writeEntry(kind: EntryKind, number: number, content: Uint8Array): void {
    this.store.writeEntry(sealEntry(this.origin, kind, number, content, this.keyring, this.cipher));
  }

  /** Undefined where there is none such that authenticates. */
  readEntry(kind: EntryKind, number: number): Buffer | undefined {
    const row = this.#attempt(() => this.store.entry(number));
    return row && openEntry(this.origin, kind, row, this.keyring);
  }

  assertOpen(): void {
    if (this.#state === 'open') return;
    if (this.#state === 'closed') throw new MerestoneError('SpoolClosed', 'the spool is closed');
    throw new MerestoneError('SpoolDamaged', 'the spool was found damaged', {
      subject: this.store.files.database,
      hint: 'close it and open it again: what is sound will be salvaged',
      retryable: true,
    });
  }

  #commit<T>(change: (draft: Draft) => T, durability: Durability): T {
    const draft: Draft = { ...this.#ledger };
    let isWritten = false;
    try {
      const result = this.store.commit(() => {
        const made = change(draft);
        isWritten = this.#isDue(draft);
        if (isWritten) this.#write(draft);
        return made;
      }, durability);
      this.#ledger = draft;
      if (isWritten) [this.#seqInFile, this.#keyInFile] = [draft.head.seq, this.keyring.current];
      if (durability === 'flushed') this.#bearWitness();
      return result;
    } catch (error) {
      this.outbox.rolledBack();
      throw error;
    }
  }

  #write(draft: Draft): void {
    draft.revision += 1;
    this.store.writeLedger(sealLedger(draft, this.keyring.current, this.cipher));
  }

  #bearWitness(): void {
    const { head, nextEntry } = this.#ledger;
    this.#witness.write({ epoch: head.epoch, seq: head.seq, nextEntry });
  }

  #attempt<T>(work: () => T): T {
    this.assertOpen();
    try {
      return work();
    } catch (error) {
      const isNews = error instanceof MerestoneError && error.code === 'SpoolDamaged';
      if (isNews && this.#state === 'open') {
        this.#state = 'damaged';
        this.#tellOfDamage();
      }
      throw error;
    }
  }

  /** On a disk that takes nothing the file keeps its name, and the next opening finds out by itself. */
  #tellOfDamage(): void {
    try {
      this.#onDamage();
    } catch {
      // The damage is what is to be told of.
    }
  }

  #isDue(draft: Draft): boolean {
    if (draft.head.seq - this.#seqInFile >= ledgerBehindMax) return true;
    return this.keyring.current !== this.#keyInFile || !isToldByBatches(this.#ledger, draft);
  }

  /** The whole file where it was, with a witness of its own. */
  writeAnew(): void {
    this.store.writeAnew();
    this.#witness.close();
    this.#witness = new Witness(this.store.files.witness);
  }

  /** Idempotent. A damaged file keeps its rows for the salvage at the next opening. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.store.close();
    this.#witness.close();
  }
}

/** Told by SQLite or the system, and not by us before they were asked. */
function isDiskFull(error: unknown): boolean {
  return error instanceof MerestoneError && error.code === 'DiskFull' && error.cause !== undefined;
}
