import type Database from 'better-sqlite3';
import type { Origin } from '../messages/topic.ts';
import type { Arrival } from './arrival.ts';

/** What of one tenant may lie aside. A row costs some bytes beside its payload, and is counted with them. */
export interface ParkedLimits {
  /** Messages that wait for their turn. */
  waitingBytesMax: number;
  /** Room beyond that for those that came while no tenant's turns moved on: four times what is in memory then. */
  heldBytesMax: number;
  /** Refused messages, of one gateway and of the whole tenant. */
  refusedBytesMax: number;
  tenantRefusedBytesMax: number;
}

const rowBytes = 200;

/** What is refused a second time has as much room again, so that what comes new meanwhile does not take its place. */
const replayRoom = 2;

/** In the column `again`: the message came again, or was refused and is tried again. */
const cameAgain = 1;
const triedAgain = 2;

const retainedChannels = new Set(['checkpoint', 'meta', 'status']);

/** Where a message lies that was taken out for its turn. */
interface Place {
  id: number;
  isReplay: boolean;
}

interface ParkedRow extends Origin {
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
export class ParkedMessages {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #limits: ParkedLimits;
  /** tenant → bytes that wait; `tenant` and `tenant/gateway` → bytes of refused messages. */
  readonly #waitingBytes = new Map<string, number>();
  readonly #refusedBytes = new Map<string, number>();
  readonly #places = new WeakMap<Arrival, Place>();

  constructor(database: Database.Database, limits: ParkedLimits) {
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

  /** False if the tenant has no room for it; `wasHeld`: it came while no tenant's turns moved on. */
  keepWaiting(origin: Origin, arrival: Arrival, at: number, wasHeld = false): boolean {
    const bytes = sizeOf(arrival);
    const bytesMax = this.#limits.waitingBytesMax + (wasHeld ? this.#limits.heldBytesMax : 0);
    if ((this.#waitingBytes.get(origin.tenant) ?? 0) + bytes > bytesMax) return false;
    add(this.#waitingBytes, origin.tenant, bytes);
    this.#put(origin, arrival, at, null);
    return true;
  }

  /** False where the gateway or its tenant has no room for it. One that waited here stays where it is. */
  keepRefused(origin: Origin, arrival: Arrival, at: number, reason: string): boolean {
    const place = this.#places.get(arrival);
    if (place === undefined && this.#isKept(arrival)) return true;
    const bytes = sizeOf(arrival);
    if (!this.#hasRoomForRefused(origin, bytes, place?.isReplay === true ? replayRoom : 1)) return false;
    this.#countRefused(origin, bytes);
    if (place === undefined) this.#put(origin, arrival, at, reason);
    else {
      this.#statements.refuse.run(at, reason, place.id);
      add(this.#waitingBytes, origin.tenant, -bytes);
    }
    return true;
  }

  /** The oldest message of a gateway that waits. */
  oldest({ tenant, gateway }: Origin): { id: number; arrival: Arrival } | undefined {
    const row = this.#statements.oldest.get(tenant, gateway);
    if (row === undefined) return undefined;
    const { id, topic, again, properties, payload } = row;
    const own = JSON.parse(properties) as Arrival['properties'];
    const arrival = { topic, payload, properties: own, again: again >= cameAgain };
    this.#places.set(arrival, { id, isReplay: again === triedAgain });
    return { id, arrival };
  }

  /** It was taken; where it was refused and kept, it is no more one that waits. */
  remove(origin: Origin, id: number, arrival: Arrival): void {
    const { changes } = this.#statements.remove.run(id);
    if (changes > 0) add(this.#waitingBytes, origin.tenant, -sizeOf(arrival));
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
    const row = { ...origin, at, reason, topic, again: again ? cameAgain : 0, payload };
    this.#statements.put.run({ ...row, properties: JSON.stringify(properties) });
  }

  /** A retained message comes with each connection: refused each time, it is kept once. */
  #isKept({ topic, payload, again }: Arrival): boolean {
    return again && isRetained(topic) && this.#statements.isKept.get(topic, payload) !== undefined;
  }

  #hasRoomForRefused({ tenant, gateway }: Origin, bytes: number, times: number): boolean {
    const { refusedBytesMax, tenantRefusedBytesMax } = this.#limits;
    const after = (name: string): number => (this.#refusedBytes.get(name) ?? 0) + bytes;
    return (
      after(`${tenant}/${gateway}`) <= times * refusedBytesMax &&
      after(tenant) <= times * tenantRefusedBytesMax
    );
  }

  #countRefused({ tenant, gateway }: Origin, bytes: number): void {
    add(this.#refusedBytes, tenant, bytes);
    add(this.#refusedBytes, `${tenant}/${gateway}`, bytes);
  }
}

function isRetained(topic: string): boolean {
  return retainedChannels.has(topic.slice(topic.lastIndexOf('/') + 1));
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
    oldest: database.prepare<[string, string], ParkedRow>(
      'SELECT * FROM aside WHERE tenant = ? AND gateway = ? AND reason IS NULL ORDER BY id LIMIT 1',
    ),
    put: database.prepare<[Omit<ParkedRow, 'id'>]>(
      `INSERT INTO aside (tenant, gateway, at, reason, topic, again, properties, payload)
       VALUES (@tenant, @gateway, @at, @reason, @topic, @again, @properties, @payload)`,
    ),
    remove: database.prepare<[number]>('DELETE FROM aside WHERE id = ? AND reason IS NULL'),
    refuse: database.prepare<[number, string, number]>('UPDATE aside SET at = ?, reason = ? WHERE id = ?'),
    isKept: database.prepare<[string, Buffer], { id: number }>(
      'SELECT id FROM aside WHERE topic = ? AND reason IS NOT NULL AND payload = ?',
    ),
    refused: database.prepare<[], RefusedMessage>(
      `SELECT id, at, tenant, gateway, topic, reason, length(payload) AS bytes
       FROM aside WHERE reason IS NOT NULL ORDER BY id`,
    ),
    release: database.prepare<[]>(
      `UPDATE aside SET reason = NULL, again = ${triedAgain} WHERE reason IS NOT NULL`,
    ),
  };
}
