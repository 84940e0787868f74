import type { SpoolDependencies } from '../spool-dependencies.ts';
import { type EntryKind, openEntry } from '../sealing/sealed-entry.ts';
import { type DataKey, type KeySource, unwrapKey } from '../sealing/keyring.ts';
import { currentEpochNumber, isAuthentic, type Ledger, readLedger } from '../state/ledger.ts';
import type { Inheritance } from './inheritance.ts';
import { epochNumberOf, seqOf } from '../state/position.ts';
import { pagesFor } from '../storage/page-budget.ts';
import { has } from '../../base/ranges.ts';
import type { BatchRow, EntryRow, KeyRow } from '../storage/database-schema.ts';
import { openBatch } from '../sealing/sealed-batch.ts';
import type { SpoolDatabase } from '../storage/database.ts';
import type { Mark } from '../state/high-water-mark.ts';
import { DamagedFile } from './damaged-file.ts';
import { asBatch, asEntry, asKey, asLedger } from './recovered-row.ts';
import { reckon } from './recovered-state.ts';
import type { RawRow } from './page-reader.ts';

/** What could be found in a damaged file, and is in the new one now. */
export interface Finds {
  /** The damaged file; undefined where it is gone. */
  file: string | undefined;
  /** The latest that authenticates. */
  ledger: Ledger | undefined;
  keys: readonly { key: DataKey; row: KeyRow }[];
  /** ULIDs of the epochs that batches were found of, by number. */
  epochs: ReadonlyMap<number, string>;
  events: readonly number[];
  held: readonly number[];
  mark: Mark | undefined;
}

/** Rows written in one commit: a few MB at most. */
const rowsPerCommit = 64;

/**
 * Copies into the empty `store` every row of the damaged file that authenticates and that its latest
 * ledger is not done with, and reckons up what is missing.
 */
export async function salvage(
  database: SpoolDatabase,
  name: string | undefined,
  mark: Mark | undefined,
  deps: SpoolDependencies,
): Promise<Inheritance> {
  const nothing = { ledger: undefined, keys: [], epochs: new Map<number, string>(), events: [], held: [] };
  if (name === undefined) return reckon(database, { file: name, ...nothing, mark });
  const file = new DamagedFile(name);
  try {
    const keys = await findKeys(file, deps);
    const ledger = findLedger(file, keys, deps);
    const copied = new Copier(database, keys, ledger, deps).copy(file);
    return reckon(database, { file: name, ledger, keys: [...keys.values()], ...copied, mark });
  } finally {
    file.close();
  }
}

type FoundKeys = ReadonlyMap<number, { key: DataKey; row: KeyRow }>;

async function findKeys(file: DamagedFile, deps: SpoolDependencies): Promise<FoundKeys> {
  const beginFirstEpoch = new Map<number, { key: DataKey; row: KeyRow }>();
  const failed = new Set<string>();
  for (const raw of file.rows()) {
    const row = asKey(raw, file.latestPage);
    if (row === undefined || beginFirstEpoch.has(row.id) || failed.has(row.jwe)) continue;
    const key = await unwrapKey(row, deps.keys).catch(() => undefined);
    if (key === undefined) failed.add(row.jwe);
    else beginFirstEpoch.set(row.id, { key, row });
  }
  return beginFirstEpoch;
}

/** The latest of all that authenticate as ours. */
function findLedger(file: DamagedFile, keys: FoundKeys, { origin }: SpoolDependencies): Ledger | undefined {
  let latest: Ledger | undefined;
  for (const raw of file.rows()) {
    const row = asLedger(raw, file.latestPage);
    const key = row && keys.get(row.key)?.key;
    const ledger = row && key && isAuthentic(row, key) ? readLedger(row) : undefined;
    const isOurs = ledger?.tenant === origin.tenant && ledger.gateway === origin.gateway;
    if (ledger !== undefined && isOurs && ledger.revision > (latest?.revision ?? -1)) latest = ledger;
  }
  return latest;
}

/** Takes over rows as they are: what sealed them seals them on. */
class Copier {
  readonly #database: SpoolDatabase;
  readonly #keys: KeySource;
  readonly #ledger: Ledger | undefined;
  readonly #deps: SpoolDependencies;
  readonly #epochs = new Map<number, string>();
  readonly #entries: Record<EntryKind, Set<number>> = { event: new Set(), held: new Set() };
  #pending: (() => void)[] = [];

  constructor(database: SpoolDatabase, keys: FoundKeys, ledger: Ledger | undefined, deps: SpoolDependencies) {
    this.#database = database;
    this.#keys = { get: (id) => keys.get(id)?.key };
    this.#ledger = ledger;
    this.#deps = deps;
  }

  copy(file: DamagedFile): Pick<Finds, 'epochs' | 'events' | 'held'> {
    for (const raw of file.rows()) {
      // What a leaf points at may have changed since: each of its two states is tried.
      const pages = raw.overflows ? [file.latestPage, file.checkpointedPage] : [file.latestPage];
      if (!pages.some((pageOf) => this.#copyBatch(raw, pageOf))) {
        pages.some((pageOf) => this.#copyEntry(raw, pageOf));
      }
      if (this.#pending.length >= rowsPerCommit) this.#write();
    }
    this.#write();
    const sorted = (numbers: Set<number>): number[] => [...numbers].sort((a, b) => a - b);
    return { epochs: this.#epochs, events: sorted(this.#entries.event), held: sorted(this.#entries.held) };
  }

  #copyBatch(raw: RawRow, pageOf: DamagedFile['latestPage']): boolean {
    if (!this.#isBatchWanted(raw.rowid)) return false;
    const row = asBatch(raw, pageOf);
    if (row === undefined || openBatch(this.#deps.origin, row, this.#keys) === undefined) return false;
    this.#epochs.set(epochNumberOf(row.position), row.epoch);
    this.#pending.push(() => this.#writeBatch(row));
    return true;
  }

  #copyEntry(raw: RawRow, pageOf: DamagedFile['latestPage']): boolean {
    const row = asEntry(raw, pageOf);
    const kind = row && this.#kindOf(row);
    if (row === undefined || kind === undefined) return false;
    if (!this.#entries[kind].has(row.number)) this.#pending.push(() => this.#database.writeEntry(row));
    this.#entries[kind].add(row.number);
    return true;
  }

  /** Those that wait or were rejected, and those that came after the ledger was written. */
  #isBatchWanted(position: number): boolean {
    if (this.#ledger === undefined) return true;
    const { waiting, rejected, head } = this.#ledger;
    const isLater =
      epochNumberOf(position) === currentEpochNumber(this.#ledger) && seqOf(position) > head.seq;
    return isLater || has(waiting, position) || has(rejected, position);
  }

  #kindOf(row: EntryRow): EntryKind | undefined {
    const { events, held, nextEntry } = this.#ledger ?? { events: [], held: [], nextEntry: 0 };
    const isWanted = row.number >= nextEntry || has(events, row.number) || has(held, row.number);
    if (!isWanted) return undefined;
    const kinds: EntryKind[] = ['event', 'held'];
    return kinds.find((kind) => openEntry(this.#deps.origin, kind, row, this.#keys) !== undefined);
  }

  #writeBatch(row: BatchRow): void {
    const isNew = !this.#database.hasBatch(row.position);
    if (isNew && this.#database.freePages() >= pagesFor(row.sealed.length)) this.#database.writeBatch(row);
  }

  #write(): void {
    const pending = this.#pending;
    this.#pending = [];
    this.#database.commit(() => pending.forEach((write) => write()), 'written');
  }
}
