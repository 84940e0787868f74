import type { EventBody } from '../../messages/event.ts';
import { chainStart } from '../../messages/hash-chain.ts';
import { SpoolFile } from '../state/spool-file.ts';
import type { SpoolDependencies } from '../spool-dependencies.ts';
import { type DataKey, Keyring, mintKey, wrapKey } from '../sealing/keyring.ts';
import type { Ledger } from '../state/ledger.ts';
import { positionOf } from '../state/position.ts';
import type { KeyRow } from '../storage/database-schema.ts';
import { fastestCipher } from '../../base/cipher.ts';
import type { SpoolDatabase } from '../storage/database.ts';
import { ulid } from '../../base/ulid.ts';

/** What a new file takes over from those before it: rows that are in it already, and the news to report. */
export interface Inheritance
  extends Pick<
    Ledger,
    | 'epochs'
    | 'previous'
    | 'waiting'
    | 'samplesWaiting'
    | 'rejected'
    | 'events'
    | 'held'
    | 'nextEntry'
    | 'quarantined'
    | 'dropped'
    | 'sent'
  > {
  /** Why an epoch begins. */
  reason: string;
  keys: readonly { key: DataKey; row: KeyRow }[];
  losses: readonly EventBody[];
}

/** A gateway's first spool takes over nothing. */
export const noInheritance: Inheritance = {
  reason: 'first start',
  epochs: [],
  previous: null,
  waiting: [],
  samplesWaiting: 0,
  rejected: [],
  events: [],
  held: [],
  nextEntry: 1,
  quarantined: 0,
  dropped: 0,
  keys: [],
  losses: [],
};

/** Begins an epoch in a file that has no ledger yet. */
export async function beginFirstEpoch(
  database: SpoolDatabase,
  deps: SpoolDependencies,
  inheritance: Inheritance,
  onDamage: () => void,
): Promise<SpoolFile> {
  const { origin, clock } = deps;
  const { reason, keys, losses, ...inherited } = inheritance;
  const now = clock.wallMs();
  const id = ulid(now);
  const number = Math.max(0, ...inheritance.epochs.map((epoch) => epoch.number)) + 1;
  const ledger: Ledger = {
    v: 1,
    revision: 0,
    ...origin,
    ...inherited,
    epochs: [...inheritance.epochs, { number, id }],
    head: { epoch: id, seq: 0, chain: chainStart.toString('hex'), samples: 0, from: null, to: null },
    damaged: [],
    checkpointSeq: 0,
  };
  const key = mintKey(now, positionOf(number, 1));
  const rows = [...keys.map((each) => each.row), await wrapKey(key, deps.keys)];
  const keyring = new Keyring([...keys.map((each) => each.key), key], key);
  const cipher = fastestCipher();
  const seqInFile = -Infinity;
  const spoolFile = new SpoolFile({ origin, database, keyring, clock, ledger, seqInFile, cipher, onDamage });
  spoolFile.commit((next) => {
    database.changeKeys(rows, []);
    for (const loss of losses) spoolFile.eventQueue.note(next, loss);
    spoolFile.eventQueue.note(next, {
      kind: 'epoch-started',
      epoch: id,
      reason,
      previous: inheritance.previous,
    });
  });
  return spoolFile;
}
