import type { Books } from './state/spool-file.ts';
import { isDiskFault } from './storage/disk-error.ts';
import { type DataKey, type KeyWrapper, mintKey, wrapKey } from './sealing/keyring.ts';
import type { Ledger } from './state/ledger.ts';
import type { Runs } from '../base/ranges.ts';

/** A new data key seals from now on, and those that nothing is sealed with any more are destroyed. */
export async function rotateKey(books: Books, wrapper: KeyWrapper): Promise<void> {
  const minted = mintKey(books.clock.wallMs(), 0);
  const row = await wrapKey(minted, wrapper);
  books.assertOpen();
  const previous = books.keyring.current;
  const key = { ...minted, first: books.headPosition() + 1 };
  books.keyring.turnTo(key);
  const idle = idleKeys(books, key);
  try {
    books.commit(() => books.store.changeKeys([{ ...row, first: key.first }], idle));
    books.keyring.forget(idle);
  } catch (error) {
    books.keyring.turnTo(previous);
    books.keyring.forget([key.id]);
    throw error;
  }
  if (idle.length > 0) wipeWal(books);
}

/** Wraps every data key to another key-encryption key, and overwrites the wrappings before, in the WAL as well. */
export async function rekey(books: Books, wrapper: KeyWrapper): Promise<void> {
  const rows = await Promise.all(books.keyring.all.map((key) => wrapKey(key, wrapper)));
  books.commit(() => books.store.changeKeys(rows, []));
  books.store.wipeWal();
}

/**
 * Where another key-encryption key goes first than the one that wrapped the data keys, a new data key seals from now
 * on, and the others are wrapped anew: what wrapped them before opens nothing that comes after.
 */
export async function adopt(books: Books, wrapper: KeyWrapper): Promise<void> {
  const known = books.store.keys().filter(({ id }) => books.keyring.get(id) !== undefined);
  if (known.every(({ kek }) => kek === wrapper.keyId)) return;
  await rotateKey(books, wrapper);
  await rekey(books, wrapper);
}

/** The keys are changed; where the disk refuses, the next change overwrites what is left of them. */
function wipeWal({ store }: Books): void {
  try {
    store.wipeWal();
  } catch (error) {
    if (!isDiskFault(error)) throw error;
  }
}

/** Keys that no batch and no entry in the file needs. */
function idleKeys(books: Books, current: DataKey): number[] {
  const inUse = new Set(books.store.entryKeys());
  const inOrder = books.keyring.all.sort((a, b) => a.first - b.first);
  return inOrder
    .filter((key, index) => {
      const end = inOrder[index + 1]?.first ?? Infinity;
      return key !== current && !inUse.has(key.id) && !holdsBatch(books.ledger, key.first, end);
    })
    .map(({ id }) => id);
}

function holdsBatch({ waiting, rejected, damaged }: Ledger, first: number, end: number): boolean {
  const meets = (runs: Runs): boolean => runs.some(([from, to]) => from < end && to >= first);
  return [waiting, rejected, damaged].some(meets);
}
