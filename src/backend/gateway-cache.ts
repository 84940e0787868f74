import type { Origin } from '../messages/topic.ts';

export interface CacheLimits {
  /** Gateways of all tenants. */
  gatewaysMax: number;
  /** What they weigh together. */
  weightMax: number;
}

interface Entry<Value> {
  value: Value;
  weight: number;
}

interface Tenant<Value> {
  weight: number;
  /** The one that was heard last at the end. */
  entries: Map<string, Entry<Value>>;
}

/** A gateway weighs this much beside what it is given. */
const baseWeight = 1000;
/** Tenants that may have a turn in progress. */
const turnsMax = 8;

/**
 * What is kept in memory of gateways that sent lately, bounded in number and weight. Where there is too much,
 * the tenant that weighs most gives room, and of its gateways the one that was not heard for the longest time: a tenant
 * of a thousand heavy gateways takes nothing out of memory but its own.
 */
export class GatewayCache<Value> {
  readonly #limits: CacheLimits;
  readonly #onReleased: (value: Value) => void;
  /** The one that was heard last at the end. */
  readonly #tenants = new Map<string, Tenant<Value>>();
  #size = 0;
  #weight = 0;

  constructor(limits: CacheLimits, onReleased: (value: Value) => void) {
    this.#limits = limits;
    this.#onReleased = onReleased;
  }

  get size(): number {
    return this.#size;
  }

  /** A gateway that is heard now. */
  get({ tenant, gateway }: Origin): Value | undefined {
    const own = this.#tenants.get(tenant);
    const entry = own?.entries.get(gateway);
    if (own === undefined || entry === undefined) return undefined;
    moveToEnd(this.#tenants, tenant, own);
    moveToEnd(own.entries, gateway, entry);
    return entry.value;
  }

  add({ tenant, gateway }: Origin, value: Value): void {
    const own = this.#tenants.get(tenant) ?? { weight: 0, entries: new Map<string, Entry<Value>>() };
    moveToEnd(this.#tenants, tenant, own);
    own.entries.set(gateway, { value, weight: 0 });
    this.#size++;
    this.weigh({ tenant, gateway }, 0);
  }

  /** A gateway that is in the cache weighs so much now. */
  weigh({ tenant, gateway }: Origin, weight: number): void {
    const own = this.#tenants.get(tenant);
    const entry = own?.entries.get(gateway);
    if (own === undefined || entry === undefined) return;
    const more = baseWeight + weight - entry.weight;
    entry.weight += more;
    own.weight += more;
    this.#weight += more;
    while (this.#size > this.#limits.gatewaysMax || this.#weight > this.#limits.weightMax) {
      if (!this.#releaseOldest()) return;
    }
  }

  delete({ tenant, gateway }: Origin): Value | undefined {
    const own = this.#tenants.get(tenant);
    const entry = own?.entries.get(gateway);
    if (own === undefined || entry === undefined) return undefined;
    own.entries.delete(gateway);
    if (own.entries.size === 0) this.#tenants.delete(tenant);
    own.weight -= entry.weight;
    this.#weight -= entry.weight;
    this.#size--;
    return entry.value;
  }

  *values(): Generator<Value> {
    for (const { entries } of this.#tenants.values()) for (const { value } of entries.values()) yield value;
  }

  /** False where nothing is left but what turns in progress need. */
  #releaseOldest(): boolean {
    const tenant = this.#heaviest() ?? this.#longestUnheard();
    if (tenant === undefined) return false;
    const [gateway] = this.#tenants.get(tenant)!.entries.keys();
    this.#onReleased(this.delete({ tenant, gateway: gateway! })!);
    return true;
  }

  /** Of those with more than the gateway whose turn it may be. */
  #heaviest(): string | undefined {
    let found: [name: string, weight: number] | undefined;
    for (const [name, { weight, entries }] of this.#tenants) {
      if (entries.size > 1 && weight > (found?.[1] ?? 0)) found = [name, weight];
    }
    return found?.[0];
  }

  #longestUnheard(): string | undefined {
    const [first] = this.#tenants.keys();
    return this.#tenants.size > turnsMax ? first : undefined;
  }
}

function moveToEnd<Value>(map: Map<string, Value>, name: string, value: Value): void {
  map.delete(name);
  map.set(name, value);
}
