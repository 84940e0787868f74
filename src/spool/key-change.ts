import type { SpoolFile } from './state/spool-file.ts';
import { isDiskFault } from './storage/disk-error.ts';
import { type DataKey, type KeyWrapper, mintKey, wrapKey } from './sealing/keyring.ts';
import type { Ledger } from './state/ledger.ts';
import type { Runs } from '../base/ranges.ts';

/** A new data key seals from now on, and those that nothing is sealed with any more are destroyed. */
export async function rotateKey(spoolFile: SpoolFile, wrapper: KeyWrapper): Promise<void> {
  const minted = mintKey(spoolFile.clock.wallMs(), 0);
  const row = await wrapKey(minted, wrapper);
  spoolFile.assertOpen();
  const previous = spoolFile.keyring.current;
  const key = { ...minted, first: spoolFile.headPosition() + 1 };
  spoolFile.keyring.turnTo(key);
  const idle = idleKeys(spoolFile, key);
  try {
    spoolFile.commit(() => spoolFile.database.changeKeys([{ ...row, first: key.first }], idle));
    spoolFile.keyring.forget(idle);
  } catch (error) {
    spoolFile.keyring.turnTo(previous);
    spoolFile.keyring.forget([key.id]);
    throw error;
  }
  if (idle.length > 0) wipeWal(spoolFile);
}

/** Wraps every data key to another key-encryption key, and overwrites the wrappings before, in the WAL as well. */
export async function rekey(spoolFile: SpoolFile, wrapper: KeyWrapper): Promise<void> {
  const rows = await Promise.all(spoolFile.keyring.all.map((key) => wrapKey(key, wrapper)));
  spoolFile.commit(() => spoolFile.database.changeKeys(rows, []));
  spoolFile.database.wipeWal();
}

/**
 * Where another key-encryption key goes first than the one that wrapped the data keys, a new data key seals from now
 * on, and the others are wrapped again: what wrapped them before opens nothing that comes after.
 */
export async function adopt(spoolFile: SpoolFile, wrapper: KeyWrapper): Promise<void> {
  const known = spoolFile.database.keys().filter(({ id }) => spoolFile.keyring.get(id) !== undefined);
  if (known.every(({ kek }) => kek === wrapper.keyId)) return;
  await rotateKey(spoolFile, wrapper);
  await rekey(spoolFile, wrapper);
}

/** The keys are changed; where the disk refuses, the next change overwrites what is left of them. */
function wipeWal({ database }: SpoolFile): void {
  try {
    database.wipeWal();
  } catch (error) {
    if (!isDiskFault(error)) throw error;
  }
}

/** Keys that no batch and no entry in the file needs. */
function idleKeys(spoolFile: SpoolFile, current: DataKey): number[] {
  const inUse = new Set(spoolFile.database.entryKeys());
  const inOrder = spoolFile.keyring.all.sort((a, b) => a.first - b.first);
  return inOrder
    .filter((key, index) => {
      const end = inOrder[index + 1]?.first ?? Infinity;
      return key !== current && !inUse.has(key.id) && !holdsBatch(spoolFile.ledger, key.first, end);
    })
    .map(({ id }) => id);
}

function holdsBatch({ waiting, rejected, damaged }: Ledger, first: number, end: number): boolean {
  const meets = (runs: Runs): boolean => runs.some(([from, to]) => from < end && to >= first);
  return [waiting, rejected, damaged].some(meets);
}
