import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { MerestoneError } from '../../base/error.ts';
import { SpoolFile, ledgerBehindMax } from '../state/spool-file.ts';
import type { SpoolDependencies } from '../spool-dependencies.ts';
import { keptFiles, filesOf, setAside, setAsideWal, type SpoolFiles, walOf } from '../storage/layout.ts';
import { syncPath } from '../../base/sync-path.ts';
import { type DataKey, Keyring, unwrapKey } from '../sealing/keyring.ts';
import {
  advance,
  currentEpochNumber,
  isAuthentic,
  type Ledger,
  originOf,
  readLedger,
} from '../state/ledger.ts';
import { beginFirstEpoch, noInheritance } from './inheritance.ts';
import { positionOf } from '../state/position.ts';
import type { Quota } from '../storage/page-budget.ts';
import { countOf, withMember } from '../../base/ranges.ts';
import { readWal } from './damaged-file.ts';
import { salvage } from './recover.ts';
import { fastestCipher } from '../../base/cipher.ts';
import { openBatch } from '../sealing/sealed-batch.ts';
import { SpoolDatabase } from '../storage/database.ts';
import { readMark, type Mark } from '../state/high-water-mark.ts';

/** What an opening is about. */
export interface Opening {
  files: SpoolFiles;
  quota: Quota;
  deps: SpoolDependencies;
  mark: Mark | undefined;
  /** What to do where the file is found damaged later, in use. */
  onDamage: () => void;
}

/**
 * Opens the spool file in this folder, which is locked: the file as it is if it is whole; a new one with what
 * could be salvaged if it is damaged or missing; an empty one on the first start.
 */
export async function openSpoolFile(
  files: SpoolFiles,
  quota: Quota,
  deps: SpoolDependencies,
): Promise<SpoolFile> {
  // Found damaged in use, a file is renamed at once: the next opening salvages it, even after a crash.
  const onDamage = (): void => {
    setAside(files);
  };
  const opening = { files, quota, deps, mark: readMark(files.highWaterMark), onDamage };
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
  const aside = adoptWal(files, keptFiles(files.directory).at(-1));
  if (aside === undefined && opening.mark === undefined) return beginFirst(opening);
  await rebuild(opening, aside);
  return openWhole({ ...opening, mark: undefined });
}

async function beginFirst({ files, quota, deps, onDamage }: Opening): Promise<SpoolFile> {
  const database = new SpoolDatabase(files, quota);
  return closingOnError(database, () => beginFirstEpoch(database, deps, noInheritance, onDamage));
}

/** Makes the new file in a folder of its own, so that a crash on the way leaves nothing half done. */
async function rebuild({ files, quota, deps, mark }: Opening, aside: string | undefined): Promise<void> {
  rmSync(files.building, { recursive: true, force: true });
  mkdirSync(files.building, { mode: 0o700 });
  const building = filesOf(files.building);
  const database = new SpoolDatabase(building, quota);
  const spoolFile = await closingOnError(database, async () => {
    const inheritance = await salvage(database, aside, mark, deps);
    return beginFirstEpoch(database, deps, inheritance, () => {});
  });
  const { waiting, quarantined } = spoolFile.ledger;
  spoolFile.close();
  renameSync(building.database, files.database);
  rmSync(files.building, { recursive: true });
  syncPath(files.directory);
  const salvaged = countOf(waiting);
  deps.logger.warn('spool: begun anew with what was sound', { batches: salvaged, quarantined });
}

/**
 * Opens a file that is whole. Throws SpoolDamaged if it is not, SpoolForeign, KeyUnavailable,
 * SpoolUnavailable.
 */
export async function openWhole(opening: Opening): Promise<SpoolFile> {
  const database = new SpoolDatabase(opening.files, opening.quota);
  return closingOnError(database, () => resume(database, opening));
}

async function resume(database: SpoolDatabase, { deps, mark, onDamage }: Opening): Promise<SpoolFile> {
  const { origin, clock } = deps;
  const row = database.ledger();
  // A process that died while it made the file: the tables are there, and the first key never came.
  const isUnborn = row === undefined && mark === undefined && database.keys().length === 0;
  if (isUnborn) return beginFirstEpoch(database, deps, noInheritance, onDamage);
  const written = row && readLedger(row);
  if (written === undefined) throw damaged(database, 'it has no ledger that can be read');
  const sealing = await openSealingKey(database, row!.key, written, deps);
  if (!isAuthentic(row!, sealing)) throw damaged(database, 'its ledger does not authenticate');
  if (isForeign(written, deps)) throw foreign(database, written);
  const keyring = new Keyring([...(await openOtherKeys(database, sealing, deps)), sealing], sealing);
  const ledger = catchUp(database, keyring, written);
  if (mark !== undefined) confront(database, ledger, mark);
  const seqInFile = written.head.seq;
  return new SpoolFile({
    origin,
    database,
    keyring,
    clock,
    ledger,
    seqInFile,
    cipher: fastestCipher(),
    onDamage,
  });
}

/**
 * The key that seals, from either place where it is kept. Throws SpoolForeign where it does not open and
 * the ledger names another origin, KeyUnavailable where it was wrapped to a key that we don't have.
 */
async function openSealingKey(
  database: SpoolDatabase,
  id: number,
  ledger: Ledger,
  deps: SpoolDependencies,
): Promise<DataKey> {
  const rows = [...database.keys(), ...database.keyCopies()].filter((row) => row.id === id);
  let failure: unknown = damaged(database, 'the key that seals is not there');
  for (const row of rows) {
    try {
      return await unwrapKey(row, deps.keys);
    } catch (error) {
      failure = row.kek === deps.keys.keyId ? damaged(database, 'the key that seals does not unwrap') : error;
    }
  }
  throw isForeign(ledger, deps) ? foreign(database, ledger) : failure;
}

/** Older keys; what was sealed with one that does not open will be found damaged when it is read. */
async function openOtherKeys(
  database: SpoolDatabase,
  sealing: DataKey,
  deps: SpoolDependencies,
): Promise<DataKey[]> {
  const opened = new Map<number, DataKey>();
  for (const row of [...database.keys(), ...database.keyCopies()]) {
    if (row.id === sealing.id || opened.has(row.id)) continue;
    const key = await unwrapKey(row, deps.keys).catch(() => undefined);
    if (key === undefined) deps.logger.warn('spool: an older data key does not open', { key: row.id });
    else opened.set(row.id, key);
  }
  return [...opened.values()];
}

/** The ledger, brought up to the batches that came after it was written. */
function catchUp(database: SpoolDatabase, keyring: Keyring, ledger: Ledger): Ledger {
  let { head, waiting, samplesWaiting } = ledger;
  const epochNumber = currentEpochNumber(ledger);
  for (const row of database.batchesAfter(positionOf(epochNumber, head.seq), ledgerBehindMax + 1)) {
    const isNext = row.position === positionOf(epochNumber, head.seq + 1);
    if (!isNext || openBatch(originOf(ledger), row, keyring) === undefined) {
      throw damaged(database, `batch ${head.seq + 1} of epoch ${head.epoch} does not authenticate`);
    }
    head = advance(head, row);
    waiting = withMember(waiting, row.position);
    samplesWaiting += row.samples;
  }
  return { ...ledger, head, waiting, samplesWaiting };
}

/** What the high-water mark recorded must be there. An epoch that began after ours shows that this is an old copy. */
function confront(database: SpoolDatabase, { head, previous, nextEntry }: Ledger, mark: Mark): void {
  // ULIDs are in the order of their clock, which may have been ahead when the one before began.
  const isOldCopy = mark.epoch > head.epoch && mark.epoch !== previous?.epoch;
  const lacksBatches = mark.epoch === head.epoch && mark.seq > head.seq;
  if (isOldCopy || lacksBatches || mark.nextEntry > nextEntry) {
    throw damaged(database, `it ends at batch ${head.seq}, and had come to ${mark.seq}`);
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

async function closingOnError<T>(database: SpoolDatabase, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    database.close();
    throw error;
  }
}

function isForeign({ tenant, gateway }: Ledger, { origin }: SpoolDependencies): boolean {
  return tenant !== origin.tenant || gateway !== origin.gateway;
}

function foreign(database: SpoolDatabase, { tenant, gateway }: Ledger): MerestoneError {
  return new MerestoneError(
    'SpoolForeign',
    `this spool belongs to tenant '${tenant}', gateway '${gateway}'`,
    {
      subject: database.files.database,
      hint: "restore that gateway's certificate, or end its spool by 'spool export' or 'spool shred'",
    },
  );
}

function damaged(database: SpoolDatabase, what: string): MerestoneError {
  return new MerestoneError('SpoolDamaged', what, {
    subject: database.files.database,
    hint: 'start the daemon: it sets the file aside and salvages what is sound',
    retryable: true,
  });
}
