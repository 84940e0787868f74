import type Database from 'better-sqlite3';
import type { Origin } from '../messages/topic.ts';
import type { Arrival } from './arrival.ts';

/** What of one tenant may lie aside. A row costs some bytes beside its payload, and is counted with them. */
export interface AsideLimits {
  /** Messages that wait for their turn. */
  waitingBytesMax: number;
  /** Refused messages, of one gateway and of the whole tenant. */
  refusedBytesMax: number;
  tenantRefusedBytesMax: number;
}

const rowBytes = 200;

interface AsideRow extends Origin {
  id: number;
  at: number;
  reason: string | null;
  topic: string;
  again: number;
  properties: string;
  payload: Buffer;
}

/** A refused message, without its bytes. */
export interface RefusedMessage extends Origin {
  id: number;
  /** When it was refused, ms since 1970 UTC. */
  at: number;
  topic: string;
  reason: string;
  bytes: number;
}

/**
 * Messages as they came, kept in a file beside the state: those of a tenant that sends faster than its turns come, and
 * those that were refused, to be tried again by a later version. What is in here may be acknowledged.
 * Bounded for each tenant; what has no room is for the caller to tell.
 */
export class AsideStore {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #limits: AsideLimits;
  /** tenant → bytes that wait; `tenant` and `tenant/gateway` → bytes of refused messages. */
  readonly #waitingBytes = new Map<string, number>();
  readonly #refusedBytes = new Map<string, number>();

  constructor(database: Database.Database, limits: AsideLimits) {
    this.#statements = prepare(database);
    this.#limits = limits;
    for (const { tenant, gateway, refused, bytes } of this.#statements.sums.iterate()) {
      if (refused === 0) add(this.#waitingBytes, tenant, bytes);
      else this.#countRefused({ tenant, gateway }, bytes);
    }
  }

  /** Gateways that have messages waiting, and how many. */
  waiting(): (Origin & { count: number })[] {
    return this.#statements.waiting.all();
  }

  /** False where the tenant has no room for it. */
  keepWaiting(origin: Origin, arrival: Arrival, at: number): boolean {
    const bytes = sizeOf(arrival);
    if ((this.#waitingBytes.get(origin.tenant) ?? 0) + bytes > this.#limits.waitingBytesMax) return false;
    add(this.#waitingBytes, origin.tenant, bytes);
    this.#put(origin, arrival, at, null);
    return true;
  }

  /** False where the gateway or its tenant has no room for it. */
  keepRefused(origin: Origin, arrival: Arrival, at: number, reason: string): boolean {
    const bytes = sizeOf(arrival);
    const { refusedBytesMax, tenantRefusedBytesMax } = this.#limits;
    const { tenant, gateway } = origin;
    if ((this.#refusedBytes.get(`${tenant}/${gateway}`) ?? 0) + bytes > refusedBytesMax) return false;
    if ((this.#refusedBytes.get(tenant) ?? 0) + bytes > tenantRefusedBytesMax) return false;
    this.#countRefused(origin, bytes);
    this.#put(origin, arrival, at, reason);
    return true;
  }

  /** The oldest message of a gateway that waits. */
  oldest({ tenant, gateway }: Origin): { id: number; arrival: Arrival } | undefined {
    const row = this.#statements.oldest.get(tenant, gateway);
    if (row === undefined) return undefined;
    const { id, topic, again, properties, payload } = row;
    const own = JSON.parse(properties) as Arrival['properties'];
    return { id, arrival: { topic, payload, properties: own, again: again === 1 } };
  }

  /** It was taken. */
  remove(origin: Origin, id: number, arrival: Arrival): void {
    this.#statements.remove.run(id);
    add(this.#waitingBytes, origin.tenant, -sizeOf(arrival));
  }

  refused(): IterableIterator<RefusedMessage> {
    return this.#statements.refused.iterate();
  }

  /** All refused messages wait again: how many. */
  release(): number {
    for (const { tenant, gateway, refused, bytes } of this.#statements.sums.all()) {
      if (refused === 0) continue;
      add(this.#waitingBytes, tenant, bytes);
      this.#countRefused({ tenant, gateway }, -bytes);
    }
    return this.#statements.release.run().changes;
  }

  #put(
    origin: Origin,
    { topic, payload, properties, again }: Arrival,
    at: number,
    reason: string | null,
  ): void {
    const row = { ...origin, at, reason, topic, again: again ? 1 : 0, payload };
    this.#statements.put.run({ ...row, properties: JSON.stringify(properties) });
  }

  #countRefused({ tenant, gateway }: Origin, bytes: number): void {
    add(this.#refusedBytes, tenant, bytes);
    add(this.#refusedBytes, `${tenant}/${gateway}`, bytes);
  }
}

function add(counts: Map<string, number>, name: string, bytes: number): void {
  const sum = (counts.get(name) ?? 0) + bytes;
  if (sum > 0) counts.set(name, sum);
  else counts.delete(name);
}

function sizeOf({ topic, payload, properties }: Arrival): number {
  return rowBytes + topic.length + payload.length + JSON.stringify(properties).length;
}

function prepare(database: Database.Database) {
  const bytes = `${rowBytes} + length(topic) + length(payload) + length(properties)`;
  return {
    sums: database.prepare<[], Origin & { refused: number; bytes: number }>(
      `SELECT tenant, gateway, reason IS NOT NULL AS refused, sum(${bytes}) AS bytes
       FROM aside GROUP BY tenant, gateway, refused`,
    ),
    waiting: database.prepare<[], Origin & { count: number }>(
      'SELECT tenant, gateway, count(*) AS count FROM aside WHERE reason IS NULL GROUP BY tenant, gateway',
    ),
    oldest: database.prepare<[string, string], AsideRow>(
      'SELECT * FROM aside WHERE tenant = ? AND gateway = ? AND reason IS NULL ORDER BY id LIMIT 1',
    ),
    put: database.prepare<[Omit<AsideRow, 'id'>]>(
      `INSERT INTO aside (tenant, gateway, at, reason, topic, again, properties, payload)
       VALUES (@tenant, @gateway, @at, @reason, @topic, @again, @properties, @payload)`,
    ),
    remove: database.prepare<[number]>('DELETE FROM aside WHERE id = ?'),
    refused: database.prepare<[], RefusedMessage>(
      `SELECT id, at, tenant, gateway, topic, reason, length(payload) AS bytes
       FROM aside WHERE reason IS NOT NULL ORDER BY id`,
    ),
    release: database.prepare<[]>('UPDATE aside SET reason = NULL, again = 1 WHERE reason IS NOT NULL'),
  };
}
