import Database from 'better-sqlite3';
import { MerestoneError } from '../base/error.ts';
import type { BatchKey } from '../stream/batch.ts';
import type { Origin } from '../stream/topic.ts';
import { GatewayRecord, type GatewayState } from './gateway-record.ts';
import { StreamLedger, type StreamState } from './stream-ledger.ts';

/*
 * One SQLite file, so that a consumer that starts again knows what it has written:
 *   stream    (tenant, gateway, epoch) → StreamState as JSON
 *   digest    SHA-256 of the batches of a stream that no checkpoint covers yet
 *   gateway   (tenant, gateway) → GatewayState as JSON
 *   event     ids of the events that were told, so that none is told twice
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
  CREATE TABLE IF NOT EXISTS gateway (
    tenant TEXT NOT NULL, gateway TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (tenant, gateway)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS event (
    n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, gateway TEXT NOT NULL, id TEXT NOT NULL,
    UNIQUE (tenant, gateway, id)) STRICT;
  CREATE TABLE IF NOT EXISTS output (
    path TEXT PRIMARY KEY, inode INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

const schemaVersion = 1;

/** Streams held in memory, some kilobytes each; those beyond are read again when their next batch comes. */
const heldMax = 1000;
/** Epochs of one gateway that are kept: more only a gateway makes that begins anew all day. */
const epochsMax = 1000;
/** Ids of one gateway's events that are kept; one comes a second time within minutes or never. */
const eventsMax = 10_000;

/** How far the row file is that a state goes with. */
export interface OutputMark {
  path: string;
  inode: number;
  bytes: number;
}

/** What one message changed. */
export interface Changes {
  streams?: readonly StreamKey[];
  gateway?: Origin;
  event?: Origin & { id: string };
  output?: OutputMark | undefined;
}

export type StreamKey = Omit<BatchKey, 'seq'>;

interface HeldStream {
  key: StreamKey;
  /** Undefined until it is first written. */
  id: number | undefined;
  ledger: StreamLedger;
}

export class StateStore {
  readonly #database: Database.Database;
  readonly #statements: Statements;
  readonly #streams = new Map<string, HeldStream>();
  readonly #gateways = new Map<string, GatewayRecord>();

  /** `file`, or `:memory:` for a state that ends with the process. Throws StateInvalid. */
  constructor(file: string) {
    try {
      this.#database = open(file);
    } catch (cause) {
      if (cause instanceof MerestoneError) throw cause;
      const held = cause instanceof Database.SqliteError && cause.code.startsWith('SQLITE_BUSY');
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new MerestoneError('StateInvalid', held ? 'another consumer uses it' : reason, {
        subject: file,
        hint: held ? 'give each consumer a state file of its own' : 'name a new file, or repair this one',
        cause,
      });
    }
    this.#statements = prepare(this.#database);
  }

  /** The ledger of a stream; a new one where it was never seen. */
  stream(key: StreamKey): StreamLedger {
    return this.#hold(key, true)!.ledger;
  }

  /** The ledger of a stream that was seen before. */
  seenStream(key: StreamKey): StreamLedger | undefined {
    return this.#hold(key, false)?.ledger;
  }

  /** The streams in memory: those that were heard of last. */
  *heldStreams(): Generator<readonly [StreamKey, StreamLedger]> {
    for (const { key, ledger } of this.#streams.values()) yield [key, ledger];
  }

  gateway({ tenant, gateway }: Origin): GatewayRecord {
    const name = `${tenant}/${gateway}`;
    let record = this.#gateways.get(name);
    if (record === undefined) {
      const row = this.#statements.gateway.get(tenant, gateway);
      record = new GatewayRecord(row && (JSON.parse(row.state) as GatewayState));
    }
    touch(this.#gateways, name, record);
    return record;
  }

  hasEvent({ tenant, gateway, id }: Origin & { id: string }): boolean {
    return this.#statements.event.get(tenant, gateway, id) !== undefined;
  }

  output(path: string): OutputMark | undefined {
    return this.#statements.output.get(path);
  }

  /** Writes what one message changed, all or nothing. */
  commit(changes: Changes): void {
    this.#database.transaction(() => {
      for (const key of changes.streams ?? []) this.#saveStream(key);
      if (changes.gateway !== undefined) {
        const { tenant, gateway } = changes.gateway;
        this.#statements.saveGateway.run(
          tenant,
          gateway,
          JSON.stringify(this.gateway(changes.gateway).state),
        );
      }
      if (changes.event !== undefined) {
        const { tenant, gateway, id } = changes.event;
        this.#statements.saveEvent.run(tenant, gateway, id);
        this.#statements.pruneEvents.run(tenant, gateway, eventsMax);
      }
      if (changes.output !== undefined) this.#statements.saveOutput.run(changes.output);
    })();
  }

  close(): void {
    this.#database.close();
  }

  #hold(key: StreamKey, create: boolean): HeldStream | undefined {
    const { tenant, gateway, epoch } = key;
    const name = `${tenant}/${gateway}/${epoch}`;
    const held = this.#streams.get(name) ?? this.#load(key) ?? (create ? newStream(key) : undefined);
    if (held !== undefined) touch(this.#streams, name, held);
    return held;
  }

  #load(key: StreamKey): HeldStream | undefined {
    const row = this.#statements.stream.get(key.tenant, key.gateway, key.epoch);
    if (row === undefined) return undefined;
    const digests = this.#statements.digests.all(row.id).map(({ seq, sha256 }) => [seq, sha256] as const);
    return { key, id: row.id, ledger: new StreamLedger(JSON.parse(row.state) as StreamState, digests) };
  }

  #saveStream(key: StreamKey): void {
    const held = this.#hold(key, true)!;
    const { tenant, gateway, epoch } = key;
    const state = JSON.stringify(held.ledger.state);
    if (held.id === undefined) {
      held.id = Number(this.#statements.addStream.run(tenant, gateway, epoch, state).lastInsertRowid);
      this.#statements.pruneStreams.run(tenant, gateway, epochsMax);
    } else {
      this.#statements.saveStream.run(state, held.id);
    }
    const { added, released } = held.ledger.drainDigestChanges();
    for (const [from, to] of released) this.#statements.removeDigests.run(held.id, from, to);
    for (const [seq, sha256] of added) this.#statements.addDigest.run(held.id, seq, sha256);
  }
}

function newStream({ tenant, gateway, epoch }: StreamKey): HeldStream {
  return { key: { tenant, gateway, epoch }, id: undefined, ledger: new StreamLedger() };
}

/** Makes an entry the youngest and lets the oldest go where there are too many; each is on disk already. */
function touch<T>(map: Map<string, T>, name: string, value: T): void {
  map.delete(name);
  map.set(name, value);
  if (map.size > heldMax) map.delete(map.keys().next().value!);
}

function open(file: string): Database.Database {
  const database = new Database(file, { timeout: 1000 });
  // One consumer a file: two would each think that they alone remove duplicates.
  database.pragma('locking_mode = EXCLUSIVE');
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = NORMAL');
  database.pragma('foreign_keys = ON');
  const version = database.pragma('user_version', { simple: true });
  if (version !== 0 && version !== schemaVersion) {
    throw new Error(`it is of version ${String(version)}, and this is version ${schemaVersion}`);
  }
  database.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT`);
  return database;
}

type Statements = ReturnType<typeof prepare>;

function prepare(database: Database.Database) {
  return {
    stream: database.prepare<[string, string, string], { id: number; state: string }>(
      'SELECT id, state FROM stream WHERE tenant = ? AND gateway = ? AND epoch = ?',
    ),
    addStream: database.prepare<[string, string, string, string]>(
      'INSERT INTO stream (tenant, gateway, epoch, state) VALUES (?, ?, ?, ?)',
    ),
    saveStream: database.prepare<[string, number]>('UPDATE stream SET state = ? WHERE id = ?'),
    pruneStreams: database.prepare<[string, string, number]>(
      `DELETE FROM stream WHERE id IN (
         SELECT id FROM stream WHERE tenant = ? AND gateway = ? ORDER BY id DESC LIMIT -1 OFFSET ?)`,
    ),
    digests: database.prepare<[number], { seq: number; sha256: string }>(
      'SELECT seq, sha256 FROM digest WHERE stream = ? ORDER BY seq',
    ),
    addDigest: database.prepare<[number, number, string]>('INSERT OR REPLACE INTO digest VALUES (?, ?, ?)'),
    removeDigests: database.prepare<[number, number, number]>(
      'DELETE FROM digest WHERE stream = ? AND seq BETWEEN ? AND ?',
    ),
    gateway: database.prepare<[string, string], { state: string }>(
      'SELECT state FROM gateway WHERE tenant = ? AND gateway = ?',
    ),
    saveGateway: database.prepare<[string, string, string]>(
      'INSERT OR REPLACE INTO gateway VALUES (?, ?, ?)',
    ),
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
    output: database.prepare<[string], OutputMark>('SELECT path, inode, bytes FROM output WHERE path = ?'),
    saveOutput: database.prepare<[OutputMark]>(
      'INSERT OR REPLACE INTO output VALUES (@path, @inode, @bytes)',
    ),
  };
}
