import type Database from 'better-sqlite3';
import type { BatchKey } from '../stream/batch.ts';
import type { Origin } from '../stream/topic.ts';
import { GatewayRecord, type GatewayState } from './gateway-record.ts';
import { openStateDatabase, prepareStatements, type OutputMark, type Statements } from './state-database.ts';
import { StreamLedger, type StreamState } from './stream-ledger.ts';

/** Streams held in memory, some kilobytes each; those beyond are read again when their next batch comes. */
const heldMax = 1000;
/** Epochs of one gateway that are kept: more only a gateway makes that begins anew all day. */
const epochsMax = 1000;
/** Ids of one gateway's events that are kept; one comes a second time within minutes or never. */
const eventsMax = 10_000;

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
    this.#database = openStateDatabase(file);
    this.#statements = prepareStatements(this.#database);
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
