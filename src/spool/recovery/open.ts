import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { MerestoneError } from '../../base/error.ts';
import { Books, ledgerBehindMax } from '../state/spool-file.ts';
import type { SpoolDependencies } from '../spool-dependencies.ts';
import { filesAside, filesOf, setAside, setAsideWal, type SpoolFiles, walOf } from '../storage/layout.ts';
import { flush } from '../storage/disk.ts';
import { type DataKey, Keyring, unwrapKey } from '../sealing/keyring.ts';
import { advance, currentEpochNumber, isAuthentic, type Ledger, readLedger } from '../state/ledger.ts';
import { found, noLegacy } from './inheritance.ts';
import { positionOf } from '../state/position.ts';
import type { Quota } from '../storage/page-budget.ts';
import { countOf, withMember } from '../../base/ranges.ts';
import { readWal } from './damaged-file.ts';
import { salvage } from './recover.ts';
import { fastestCipher } from '../../base/cipher.ts';
import { openBatch } from '../sealing/sealed-batch.ts';
import { Store } from '../storage/database.ts';
import { readTestimony, type Testimony } from '../state/high-water-mark.ts';

/** What an opening is about. */
export interface Opening {
  files: SpoolFiles;
  quota: Quota;
  deps: SpoolDependencies;
  testimony: Testimony | undefined;
  /** What to do where the file is found damaged later, in use. */
  onDamage: () => void;
}

/**
 * The books of the spool in this folder, which is locked: of the file as it is where it is whole; of a
 * new one, with what could be salvaged, where it is damaged or gone; of an empty one on the first start.
 */
export async function openBooks(files: SpoolFiles, quota: Quota, deps: SpoolDependencies): Promise<Books> {
  // Found damaged in use, a file gets another name at once: whoever opens next, after whatever, salvages it.
  const onDamage = (): void => {
    setAside(files);
  };
  const opening = { files, quota, deps, testimony: readTestimony(files.witness), onDamage };
  if (existsSync(files.database)) {
    const wal = readWal(files.wal);
    try {
      return await openWhole(opening);
    } catch (error) {
      if (!(error instanceof MerestoneError) || error.code !== 'SpoolDamaged') throw error;
      const aside = setAside(files, wal);
      deps.logger.error('spool: damaged, and set aside', { file: aside, reason: error.message });
    }
  }
  // Only the last one can be waiting for its salvage: there was a whole spool after each of the others.
  const aside = adoptWal(files, filesAside(files.directory).at(-1));
  if (aside === undefined && opening.testimony === undefined) return beginFirst(opening);
  await rebuild(opening, aside);
  return openWhole({ ...opening, testimony: undefined });
}

async function beginFirst({ files, quota, deps, onDamage }: Opening): Promise<Books> {
  const store = new Store(files, quota);
  return closingOnError(store, () => found(store, deps, noLegacy, onDamage));
}

/** Makes the new file in a folder of its own, so that a crash on the way leaves nothing half done. */
async function rebuild({ files, quota, deps, testimony }: Opening, aside: string | undefined): Promise<void> {
  rmSync(files.building, { recursive: true, force: true });
  mkdirSync(files.building, { mode: 0o700 });
  const building = filesOf(files.building);
  const store = new Store(building, quota);
  const books = await closingOnError(store, async () => {
    const legacy = await salvage(store, aside, testimony, deps);
    return found(store, deps, legacy, () => {});
  });
  const { waiting, quarantined } = books.ledger;
  books.close();
  renameSync(building.database, files.database);
  rmSync(files.building, { recursive: true });
  flush(files.directory);
  const salvaged = countOf(waiting);
  deps.logger.warn('spool: begun anew with what was sound', { batches: salvaged, quarantined });
}

/**
 * The books of a file that is whole. Throws SpoolDamaged where it is not, SpoolForeign, KeyUnavailable,
 * SpoolUnavailable.
 */
export async function openWhole(opening: Opening): Promise<Books> {
  const store = new Store(opening.files, opening.quota);
  return closingOnError(store, () => resume(store, opening));
}

async function resume(store: Store, { deps, testimony, onDamage }: Opening): Promise<Books> {
  const { origin, clock } = deps;
  const row = store.ledger();
  // A process that died while it made the file: the tables are there, and the first key never came.
  const isUnborn = row === undefined && testimony === undefined && store.keys().length === 0;
  if (isUnborn) return found(store, deps, noLegacy, onDamage);
  const written = row && readLedger(row);
  if (written === undefined) throw damaged(store, 'it has no ledger that can be read');
  const sealing = await openSealingKey(store, row!.key, written, deps);
  if (!isAuthentic(row!, sealing)) throw damaged(store, 'its ledger does not authenticate');
  if (isForeign(written, deps)) throw foreign(store, written);
  const keyring = new Keyring([...(await openOtherKeys(store, sealing, deps)), sealing], sealing);
  const ledger = catchUp(store, keyring, written);
  if (testimony !== undefined) confront(store, ledger, testimony);
  const seqInFile = written.head.seq;
  return new Books({ origin, store, keyring, clock, ledger, seqInFile, cipher: fastestCipher(), onDamage });
}

/**
 * The key that seals, from either place where it is kept. Throws SpoolForeign where it does not open and
 * the ledger names another origin, KeyUnavailable where it was wrapped to a key that we don't have.
 */
async function openSealingKey(
  store: Store,
  id: number,
  ledger: Ledger,
  deps: SpoolDependencies,
): Promise<DataKey> {
  const rows = [...store.keys(), ...store.keyCopies()].filter((row) => row.id === id);
  let failure: unknown = damaged(store, 'the key that seals is not there');
  for (const row of rows) {
    try {
      return await unwrapKey(row, deps.keys);
    } catch (error) {
      failure = row.kek === deps.keys.keyId ? damaged(store, 'the key that seals does not unwrap') : error;
    }
  }
  throw isForeign(ledger, deps) ? foreign(store, ledger) : failure;
}

/** Older keys; what was sealed with one that does not open will be found damaged when it is read. */
async function openOtherKeys(store: Store, sealing: DataKey, deps: SpoolDependencies): Promise<DataKey[]> {
  const opened = new Map<number, DataKey>();
  for (const row of [...store.keys(), ...store.keyCopies()]) {
    if (row.id === sealing.id || opened.has(row.id)) continue;
    const key = await unwrapKey(row, deps.keys).catch(() => undefined);
    if (key === undefined) deps.logger.warn('spool: an older data key does not open', { key: row.id });
    else opened.set(row.id, key);
  }
  return [...opened.values()];
}

/** The ledger, brought up to the batches that came after it was written. */
function catchUp(store: Store, keyring: Keyring, ledger: Ledger): Ledger {
  let { head, waiting, samplesWaiting } = ledger;
  const epochNumber = currentEpochNumber(ledger);
  for (const row of store.batchesAfter(positionOf(epochNumber, head.seq), ledgerBehindMax + 1)) {
    const isNext = row.position === positionOf(epochNumber, head.seq + 1);
    if (!isNext || openBatch(ledger, row, keyring) === undefined) {
      throw damaged(store, `batch ${head.seq + 1} of epoch ${head.epoch} does not authenticate`);
    }
    head = advance(head, row);
    waiting = withMember(waiting, row.position);
    samplesWaiting += row.samples;
  }
  return { ...ledger, head, waiting, samplesWaiting };
}

/** What the witness has seen must be there. An epoch that began after ours shows that this is an old copy. */
function confront(store: Store, { head, previous, nextEntry }: Ledger, testimony: Testimony): void {
  // ULIDs are in the order of their clock, which may have been ahead when the one before began.
  const isOldCopy = testimony.epoch > head.epoch && testimony.epoch !== previous?.epoch;
  const lacksBatches = testimony.epoch === head.epoch && testimony.seq > head.seq;
  if (isOldCopy || lacksBatches || testimony.nextEntry > nextEntry) {
    throw damaged(store, `it ends at batch ${head.seq}, and had come to ${testimony.seq}`);
  }
}

/**
 * A WAL whose database was set aside by a process that died before it could close it, or is gone: SQLite would
 * take it for the new database's. Gives the file to salvage.
 */
function adoptWal(files: SpoolFiles, aside: string | undefined): string | undefined {
  if (!existsSync(files.wal)) return aside;
  if (aside === undefined || existsSync(walOf(aside))) return setAsideWal(files);
  renameSync(files.wal, walOf(aside));
  return aside;
}

async function closingOnError<T>(store: Store, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    store.close();
    throw error;
  }
}

function isForeign({ tenant, gateway }: Ledger, { origin }: SpoolDependencies): boolean {
  return tenant !== origin.tenant || gateway !== origin.gateway;
}

function foreign(store: Store, { tenant, gateway }: Ledger): MerestoneError {
  return new MerestoneError(
    'SpoolForeign',
    `this spool belongs to tenant '${tenant}', gateway '${gateway}'`,
    {
      subject: store.files.database,
      hint: "restore that gateway's certificate, or end its spool by 'spool export' or 'spool shred'",
    },
  );
}

function damaged(store: Store, what: string): MerestoneError {
  return new MerestoneError('SpoolDamaged', what, {
    subject: store.files.database,
    hint: 'start the daemon: it sets the file aside and salvages what is sound',
    retryable: true,
  });
}
