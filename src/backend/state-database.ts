import Database from 'better-sqlite3';
import { MerestoneError } from '../base/error.ts';
import { keepPrivate } from '../base/private-file.ts';
import type { Origin } from '../messages/topic.ts';
import type { AuditMark } from './audit-watch.ts';
import { openParkedDatabase, type ParkedDatabase } from './parked-database.ts';

/*
 * One SQLite file, so that a consumer that starts again knows what it has written:
 *   stream    (tenant, gateway, epoch) → StreamState as JSON
 *   digest    SHA-256 of the batches of a stream that no checkpoint covers yet
 *   seen      digests of the newest batches of a stream, so that the same number with other content is told apart
 *   folded    what is left of the epochs of a gateway that has begun more than anybody does
 *   gateway   (tenant, gateway) → GatewayState as JSON
 *   meta      (tenant, gateway) → units of its points as JSON
 *   event     ids of the events that were told, so that none is told twice
 *   session   names of the broker's sessions that we had
 *   audit     the newest entries of each gateway's audit log, so that a log that begins again is noticed
 *   output    how far the row file is under this state
 * Each message is one transaction, committed after its rows were written and before it is acknowledged.
 */
const schema = `
  CREATE TABLE IF NOT EXISTS stream (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL,
    state TEXT NOT NULL, UNIQUE (tenant, gateway, epoch)) STRICT;
  CREATE TABLE IF NOT EXISTS digest (
    stream INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE, seq INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (stream, seq)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS seen (
    stream INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE, seq INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (stream, seq)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS folded (
    n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL,
    received INTEGER NOT NULL, missing INTEGER NOT NULL, UNIQUE (tenant, gateway, epoch)) STRICT;
  CREATE TABLE IF NOT EXISTS meta (
    tenant TEXT NOT NULL, gateway TEXT NOT NULL, units TEXT NOT NULL,
    PRIMARY KEY (tenant, gateway)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS gateway (
    tenant TEXT NOT NULL, gateway TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (tenant, gateway)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS event (
    n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, gateway TEXT NOT NULL, id TEXT NOT NULL,
    UNIQUE (tenant, gateway, id)) STRICT;
  CREATE TABLE IF NOT EXISTS session (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS audit (
    tenant TEXT NOT NULL, gateway TEXT NOT NULL, seq INTEGER NOT NULL, chain TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (tenant, gateway, seq)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS output (
    path TEXT PRIMARY KEY, inode INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

/** 2: `seen`, `folded` and `meta`. What is new is made where it is missing, so that older ones are read too. */
const schemaVersion = 2;

/** How far the row file is that a state goes with. */
export interface OutputMark {
  path: string;
  inode: number;
  bytes: number;
}

/** The state, and what is set aside beside it, which is locked: one consumer a state. Throws StateInvalid. */
export function openState(file: string): { state: Database.Database; parked: ParkedDatabase } {
  let parked: ParkedDatabase | undefined;
  try {
    // Two would each think that they alone remove duplicates.
    parked = openParkedDatabase(file);
    return { state: open(file), parked };
  } catch (cause) {
    parked?.database.close();
    const held = cause instanceof Database.SqliteError && cause.code.startsWith('SQLITE_BUSY');
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MerestoneError('StateInvalid', held ? 'another consumer uses it' : reason, {
      subject: file,
      hint: held ? 'give each consumer a state file of its own' : 'name a new file, or repair this one',
      cause,
    });
  }
}

function open(file: string): Database.Database {
  if (file !== ':memory:') keepPrivate(file);
  const database = new Database(file, { timeout: 1000 });
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = NORMAL');
  database.pragma('foreign_keys = ON');
  const version = database.pragma('user_version', { simple: true });
  if (typeof version !== 'number' || version > schemaVersion) {
    throw new Error(`it is of version ${String(version)}, and this is version ${schemaVersion}`);
  }
  database.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT`);
  return database;
}

export type Statements = ReturnType<typeof prepareStatements>;

export function prepareStatements(database: Database.Database) {
  return { ...streamStatements(database), ...gatewayStatements(database), ...auditStatements(database) };
}

function streamStatements(database: Database.Database) {
  return {
    stream: database.prepare<[string, string, string], { id: number; state: string }>(
      'SELECT id, state FROM stream WHERE tenant = ? AND gateway = ? AND epoch = ?',
    ),
    addStream: database.prepare<[string, string, string, string]>(
      'INSERT INTO stream (tenant, gateway, epoch, state) VALUES (?, ?, ?, ?)',
    ),
    saveStream: database.prepare<[string, number]>('UPDATE stream SET state = ? WHERE id = ?'),
    countStreams: database.prepare<[string, string], { count: number }>(
      'SELECT count(*) AS count FROM stream WHERE tenant = ? AND gateway = ?',
    ),
    oldestStreams: database.prepare<[string, string, number], { id: number; epoch: string; state: string }>(
      'SELECT id, epoch, state FROM stream WHERE tenant = ? AND gateway = ? ORDER BY id LIMIT ?',
    ),
    allStreams: database.prepare<[], { tenant: string; gateway: string; epoch: string; state: string }>(
      'SELECT tenant, gateway, epoch, state FROM stream ORDER BY id',
    ),
    removeStream: database.prepare<[number]>('DELETE FROM stream WHERE id = ?'),
    folded: database.prepare<[string, string, string]>(
      'SELECT 1 FROM folded WHERE tenant = ? AND gateway = ? AND epoch = ?',
    ),
    addFolded: database.prepare<[string, string, string, number, number]>(
      'INSERT OR IGNORE INTO folded (tenant, gateway, epoch, received, missing) VALUES (?, ?, ?, ?, ?)',
    ),
    pruneFolded: database.prepare<[string, string, number]>(
      `DELETE FROM folded WHERE n IN (
         SELECT n FROM folded WHERE tenant = ? AND gateway = ? ORDER BY n DESC LIMIT -1 OFFSET ?)`,
    ),
    seen: database.prepare<[number, number], { digest: Buffer }>(
      'SELECT digest FROM seen WHERE stream = ? AND seq = ?',
    ),
    addSeen: database.prepare<[number, number, Uint8Array]>('INSERT OR REPLACE INTO seen VALUES (?, ?, ?)'),
    pruneSeen: database.prepare<[{ stream: number; kept: number }]>(
      `DELETE FROM seen WHERE stream = @stream AND seq <= (
         SELECT seq FROM seen WHERE stream = @stream ORDER BY seq DESC LIMIT 1 OFFSET @kept)`,
    ),
    digests: database.prepare<[number], { seq: number; sha256: string }>(
      'SELECT seq, sha256 FROM digest WHERE stream = ? ORDER BY seq',
    ),
    addDigest: database.prepare<[number, number, string]>('INSERT OR REPLACE INTO digest VALUES (?, ?, ?)'),
    removeDigests: database.prepare<[number, number, number]>(
      'DELETE FROM digest WHERE stream = ? AND seq BETWEEN ? AND ?',
    ),
  };
}

function gatewayStatements(database: Database.Database) {
  return {
    gateway: database.prepare<[string, string], { state: string }>(
      'SELECT state FROM gateway WHERE tenant = ? AND gateway = ?',
    ),
    saveGateway: database.prepare<[string, string, string]>(
      'INSERT OR REPLACE INTO gateway VALUES (?, ?, ?)',
    ),
    meta: database.prepare<[string, string], { units: string }>(
      'SELECT units FROM meta WHERE tenant = ? AND gateway = ?',
    ),
    saveMeta: database.prepare<[string, string, string]>('INSERT OR REPLACE INTO meta VALUES (?, ?, ?)'),
    event: database.prepare<[string, string, string]>(
      'SELECT 1 FROM event WHERE tenant = ? AND gateway = ? AND id = ?',
    ),
    saveEvent: database.prepare<[string, string, string]>(
      'INSERT OR IGNORE INTO event (tenant, gateway, id) VALUES (?, ?, ?)',
    ),
    pruneEvents: database.prepare<[string, string, number]>(
      `DELETE FROM event WHERE n IN (
         SELECT n FROM event WHERE tenant = ? AND gateway = ? ORDER BY n DESC LIMIT -1 OFFSET ?)`,
    ),
    session: database.prepare<[string]>('SELECT 1 FROM session WHERE name = ?'),
    saveSession: database.prepare<[string]>('INSERT OR IGNORE INTO session VALUES (?)'),
  };
}

function auditStatements(database: Database.Database) {
  return {
    auditMark: database.prepare<[string, string, number], AuditMark>(
      'SELECT seq, chain, at FROM audit WHERE tenant = ? AND gateway = ? AND seq = ?',
    ),
    auditMarks: database.prepare<[string, string], { count: number; first: number }>(
      'SELECT count(*) AS count, min(seq) AS first FROM audit WHERE tenant = ? AND gateway = ?',
    ),
    lastAuditMark: database.prepare<[string, string], AuditMark>(
      'SELECT seq, chain, at FROM audit WHERE tenant = ? AND gateway = ? ORDER BY seq DESC LIMIT 1',
    ),
    saveAuditMark: database.prepare<[Origin & AuditMark]>(
      'INSERT OR REPLACE INTO audit VALUES (@tenant, @gateway, @seq, @chain, @at)',
    ),
    pruneAuditMarks: database.prepare<[Origin & { kept: number }]>(
      `DELETE FROM audit WHERE tenant = @tenant AND gateway = @gateway AND seq <= (
         SELECT seq FROM audit WHERE tenant = @tenant AND gateway = @gateway
         ORDER BY seq DESC LIMIT 1 OFFSET @kept)`,
    ),
    output: database.prepare<[string], OutputMark>('SELECT path, inode, bytes FROM output WHERE path = ?'),
    saveOutput: database.prepare<[OutputMark]>(
      'INSERT OR REPLACE INTO output VALUES (@path, @inode, @bytes)',
    ),
  };
}
