import { MerestoneError } from '../base/error.ts';
import { chainStart } from '../stream/chain.ts';
import { Books, ledgerBehindMax } from './books.ts';
import type { SpoolDependencies } from './dependencies.ts';
import { type DataKey, Keyring, mintKey, unwrapKey, wrapKey } from './keyring.ts';
import { advance, currentEpochNumber, isAuthentic, type Ledger, readLedger } from './ledger.ts';
import { positionOf } from './position.ts';
import { withMember } from './runs.ts';
import { fastestCipher } from './seal.ts';
import { openBatch } from './sealed-batch.ts';
import type { Store } from './store.ts';
import { ulid } from './ulid.ts';

/** The books of a file that is ours and whole; a new file gets its first epoch. */
export function openBooks(store: Store, deps: SpoolDependencies): Promise<Books> {
  return store.ledger() === undefined ? begin(store, deps) : resume(store, deps);
}

async function begin(store: Store, deps: SpoolDependencies): Promise<Books> {
  const { origin, clock } = deps;
  const epoch = ulid(clock.wallMs());
  const ledger: Ledger = {
    v: 1,
    ...origin,
    epochs: [{ number: 1, id: epoch }],
    head: { epoch, seq: 0, chain: chainStart.toString('hex'), samples: 0, from: null, to: null },
    previous: null,
    waiting: [],
    samplesWaiting: 0,
    rejected: [],
    damaged: [],
    events: [],
    held: [],
    nextEntry: 1,
    quarantined: 0,
    dropped: 0,
    checkpointSeq: 0,
  };
  const key = mintKey(clock.wallMs(), positionOf(1, 1));
  const row = await wrapKey(key, deps.keys);
  const keyring = new Keyring([key], key);
  const books = new Books({
    origin,
    store,
    keyring,
    clock,
    ledger,
    seqInFile: -Infinity,
    cipher: fastestCipher(),
  });
  books.commit((draft) => {
    store.changeKeys([row], []);
    books.outbox.note(draft, { kind: 'epoch-started', epoch, reason: 'first start', previous: null });
  });
  return books;
}

async function resume(store: Store, deps: SpoolDependencies): Promise<Books> {
  const { origin, clock } = deps;
  const { keyring, ledger } = await verify(store, deps);
  return new Books({
    origin,
    store,
    keyring,
    clock,
    cipher: fastestCipher(),
    ledger: catchUp(store, keyring, ledger),
    seqInFile: ledger.head.seq,
  });
}

/**
 * The ledger, authenticated, and all keys. Throws SpoolForeign where it is another origin's (or claims to
 * be, under a key that is not ours to check it by), KeyUnavailable where it is ours but the key is not.
 */
async function verify(store: Store, deps: SpoolDependencies): Promise<{ keyring: Keyring; ledger: Ledger }> {
  const row = store.ledger()!;
  const ledger = readLedger(row);
  const keyRows = store.keys();
  const sealing = keyRows.find(({ id }) => id === row.key);
  if (ledger === undefined || sealing === undefined) throw damaged(store, 'its ledger cannot be read');
  const isForeign = ledger.tenant !== deps.origin.tenant || ledger.gateway !== deps.origin.gateway;
  let key: DataKey;
  try {
    key = await unwrapKey(sealing, deps.keys);
  } catch (error) {
    throw isForeign ? foreign(store, ledger) : error;
  }
  if (!isAuthentic(row, key)) throw damaged(store, 'its ledger does not authenticate');
  if (isForeign) throw foreign(store, ledger);
  const others = keyRows.filter(({ id }) => id !== row.key);
  const keys = await Promise.all(others.map((other) => unwrapKey(other, deps.keys)));
  return { ledger, keyring: new Keyring([...keys, key], key) };
}

/** The ledger, brought up to the batches that came after it was written. */
function catchUp(store: Store, keyring: Keyring, ledger: Ledger): Ledger {
  let { head, waiting, samplesWaiting } = ledger;
  const position = positionOf(currentEpochNumber(ledger), head.seq);
  for (const row of store.batchesAfter(position, ledgerBehindMax + 1)) {
    const isNext = row.position === positionOf(currentEpochNumber(ledger), head.seq + 1);
    if (!isNext || openBatch(ledger, row, keyring) === undefined) {
      throw damaged(store, `batch ${head.seq + 1} of epoch ${head.epoch} does not authenticate`);
    }
    head = advance(head, row);
    waiting = withMember(waiting, row.position);
    samplesWaiting += row.samples;
  }
  return { ...ledger, head, waiting, samplesWaiting };
}

function foreign(store: Store, { tenant, gateway }: Ledger): MerestoneError {
  return new MerestoneError(
    'SpoolForeign',
    `this spool belongs to tenant '${tenant}', gateway '${gateway}'`,
    {
      subject: store.file,
      hint: "restore that gateway's certificate, or end its spool by 'spool export' or 'spool shred'",
    },
  );
}

function damaged(store: Store, what: string): MerestoneError {
  return new MerestoneError('SpoolDamaged', what, { subject: store.file, retryable: true });
}
