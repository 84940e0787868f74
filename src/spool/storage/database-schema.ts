/** 'MERE', so that file(1) and a stray sqlite3 can tell whose file it is. */
export const applicationId = 0x4d455245;
/** Of the tables below and of what is sealed in them. */
const formatVersion = 1;

/** SQLite's user_version: the format's, in each of four bytes, so that no flipped bit makes it another's. */
export const userVersion = versionMark(formatVersion);

/** Whether a later Merestone wrote a file with this user_version. */
export function isLater(mark: number): boolean {
  const version = mark & 0xff;
  return version > formatVersion && mark === versionMark(version);
}

function versionMark(version: number): number {
  return version * 0x01010101;
}

/** A page is what the medium writes at least; the quota counts in pages. */
export const pageBytes = 4096;

export const tables = `
CREATE TABLE ledger (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  key  INTEGER NOT NULL,
  body TEXT NOT NULL,           -- JSON, see ledger.ts: whose spool it is, its head, what waits
  seal BLOB NOT NULL            -- authenticates body
) STRICT;
CREATE TABLE key (
  id    INTEGER PRIMARY KEY,    -- random, 48 bits
  kek   TEXT NOT NULL,          -- id of the key-encryption key
  jwe   TEXT NOT NULL,          -- the data key, wrapped to it
  since INTEGER NOT NULL,       -- ms since 1970 UTC
  first INTEGER NOT NULL        -- the position from which it seals, up to the next key's
) STRICT;
CREATE TABLE key_copy (         -- of key, on another page: one bad sector must not cost every batch
  id    INTEGER PRIMARY KEY,
  kek   TEXT NOT NULL,
  jwe   TEXT NOT NULL,
  since INTEGER NOT NULL,
  first INTEGER NOT NULL
) STRICT;
CREATE TABLE batch (
  position     INTEGER PRIMARY KEY,  -- epoch and seq, see position.ts
  epoch        TEXT NOT NULL,
  key          INTEGER NOT NULL,
  samples      INTEGER NOT NULL,
  from_ms      INTEGER NOT NULL,
  to_ms        INTEGER NOT NULL,
  chain_before BLOB NOT NULL,
  chain_after  BLOB NOT NULL,
  sealed       BLOB NOT NULL         -- zstd of the payload; authenticates the other columns too
) STRICT;
CREATE TABLE entry (
  number INTEGER PRIMARY KEY,        -- in the order they came; the ledger knows which are events
  key    INTEGER NOT NULL,
  sealed BLOB NOT NULL               -- an event's JSON, or samples held until their time is known
) STRICT;
CREATE TABLE checkpoint (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  jws TEXT NOT NULL                  -- the last one signed
) STRICT;
`;

export interface LedgerRow {
  key: number;
  body: string;
  seal: Buffer;
}

export interface KeyRow {
  id: number;
  kek: string;
  jwe: string;
  since: number;
  first: number;
}

export interface BatchRow {
  position: number;
  epoch: string;
  key: number;
  samples: number;
  from_ms: number;
  to_ms: number;
  chain_before: Buffer;
  chain_after: Buffer;
  sealed: Buffer;
}

export interface EntryRow {
  number: number;
  key: number;
  sealed: Buffer;
}
