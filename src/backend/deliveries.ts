import { setImmediate as nextLoop } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import type { Breathe } from '../base/steps.ts';
import { parseTopic, type Origin } from '../messages/topic.ts';
import type { Arrival } from './arrival.ts';
import type { ParkedMessages } from './parked-messages.ts';
import { TenantTurns } from './tenant-turns.ts';
import { RefusalBudget } from './refusal-budget.ts';
import { SlowLane } from './slow-lane.ts';

export interface DeliveriesParts {
  clock: Clock;
  /** Undefined: what was set aside would not outlive us, so nothing is. */
  parked: ParkedMessages | undefined;
  /**
   * Resolves when the message is safe, with true where it was refused; asks `breathe` where another's may go in between.
   * A rejection ends all work.
   */
  take(arrival: Arrival, breathe: Breathe): Promise<boolean>;
  /** There is no room aside for a message of a tenant that sends faster than its turns come: it is let go. */
  onOverrun(origin: Origin, arrival: Arrival): void;
  /** Too much of what this gateway sends is refused: from now on its messages wait longer. */
  onSlowed?(origin: Origin): void;
  /** Rows are known to find no way out for now. */
  isSinkAway?(): boolean;
  /** It is over. */
  onFailed(error: unknown): void;
  /** Ends all work with the message in hand; what else was not taken is not acknowledged. */
  signal: AbortSignal;
}

/** Messages in memory that are not acknowledged: as many as are asked of the broker, and no more bytes than this. */
export const windowMax = 256;
const windowBytesMax = 32 * 1024 * 1024;

/**
 * Of one tenant, where others are heard too: a part of what the broker was seen to have in flight (some have no more
 * than 20, for all of them), and no fewer than this.
 */
const tenantWindowMin = 4;
const tenantWindowShare = 0.5;
/** Of what is in flight: this many may be safe and wait for an acknowledgement before theirs. */
const blockedShare = 0.25;
const tenantWindowBytesMax = 8 * 1024 * 1024;

/** Of one message at a stretch; then who has had less goes in between. */
const sliceMs = 1;

/** A turn that stands still for so long waits for the rows' way out; then no tenant is at fault, and all wait. */
const heldMs = 250;

/** Turns within turns. */
const nestedMax = 4;

interface Delivery {
  origin: Origin;
  arrival: Arrival;
  state: 'queued' | 'running' | 'safe';
  /** It came while no tenant's turns moved on: no reason to let it go. */
  wasHeld: boolean;
  acknowledge(): void;
}

/**
 * Between broker and consumer: messages are read ahead, taken in fair turns of tenants and gateways (a large one in
 * slices, between which who has had less goes first), and acknowledged in the order in which they came [MQTT-4.6.0-2], each when it is safe. All tenants share one
 * connection and its few messages in flight, so a tenant that sends faster than its turns come must not hold them:
 * beyond a part of them, its messages are set aside in the state file, acknowledged, and taken from there in its own turns.
 * With one tenant alone, or nowhere to set messages aside, the broker is kept waiting instead; so it is while rows
 * find no way out (a database that is away), for anything that tenants send: what is set aside has an end, and is not written.
 * A gateway of which too much is refused is slowed, and waits aside meanwhile.
 */
export class Deliveries {
  readonly #parts: DeliveriesParts;
  readonly #turns = new TenantTurns();
  readonly #refusals = new RefusalBudget();
  readonly #slowLane: SlowLane;
  /** Not acknowledged, in order of arrival. */
  readonly #window: Delivery[] = [];
  #windowBytes = 0;
  /** Not acknowledged at once, at most: the broker has as many in flight, or more. */
  #inFlightMax = 0;
  /** gateway → how many of its messages lie aside. */
  readonly #parked = new Map<string, number>();
  /** The tenant that was heard first; retained messages make all of them heard at once. */
  #firstTenant: string | undefined;
  #hasOtherTenants = false;
  /** Tenants whose turns are in progress. */
  readonly #busy = new Set<string>();
  /** When the turn in progress last moved on. */
  #movedMs = 0;
  #wake: (() => void) | undefined;
  #roomWanted: (() => void)[] = [];
  /** Resolves when the last message was taken. */
  readonly ended: Promise<void>;

  constructor(parts: DeliveriesParts) {
    this.#parts = parts;
    this.#slowLane = new SlowLane(parts.clock, (origin, messages) => {
      this.#turns.add(origin, messages);
      this.#wake?.();
    });
    for (const { tenant, gateway, count } of parts.parked?.waiting() ?? []) {
      this.#parked.set(`${tenant}/${gateway}`, count);
      this.#turns.add({ tenant, gateway }, count);
    }
    parts.signal.addEventListener('abort', () => this.#release(), { once: true });
    this.ended = this.#run().catch((error: unknown) => parts.onFailed(error));
  }

  /** Takes a message in; `acknowledge` is called when it may be forgotten by the broker. */
  offer(arrival: Arrival, acknowledge: () => void): void {
    const place = parseTopic(arrival.topic);
    if (place === undefined) return acknowledge();
    const { tenant, gateway } = place;
    const wasHeld = this.#isHeld();
    const delivery: Delivery = {
      origin: { tenant, gateway },
      arrival,
      state: 'queued',
      wasHeld,
      acknowledge,
    };
    this.#hear(tenant);
    this.#window.push(delivery);
    this.#windowBytes += arrival.payload.length;
    this.#inFlightMax = Math.max(this.#inFlightMax, this.#window.length);
    if (!this.#slowLane.add(delivery.origin)) this.#turns.add(delivery.origin);
    if (wasHeld) return;
    if (this.#isBehind(delivery.origin)) this.#park((each) => isSame(each, delivery.origin));
    else if (this.#isSurplus(delivery)) this.#park((each) => each.tenant === tenant);
    this.#acknowledge();
    this.#wake?.();
  }

  /** Resolves when another message may be offered; undefined where it may at once. */
  room(): Promise<void> | undefined {
    return this.#hasRoom() ? undefined : this.#makeRoom();
  }

  #hasRoom(): boolean {
    if (this.#parts.signal.aborted) return true;
    return this.#window.length < windowMax && this.#windowBytes < windowBytesMax;
  }

  async #makeRoom(): Promise<void> {
    while (!this.#hasRoom()) await new Promise<void>((resolve) => this.#roomWanted.push(resolve));
  }

  #release(): void {
    this.#slowLane.end();
    this.#wake?.();
    for (const resolve of this.#roomWanted.splice(0)) resolve();
  }

  async #run(): Promise<void> {
    while (!this.#parts.signal.aborted) {
      const origin = this.#turns.next();
      if (origin === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else await this.#takeOne(origin);
      // Refused messages need no I/O, and must not keep the socket from being read.
      await nextLoop();
    }
  }

  async #takeOne(origin: Origin): Promise<void> {
    const { clock } = this.#parts;
    let sliceAt = clock.monotonicMs();
    let takenMs = 0;
    const charge = (): void => {
      // What rows wait for is not their tenant's.
      const usedMs = Math.min(clock.monotonicMs() - sliceAt, heldMs);
      takenMs += usedMs;
      this.#turns.charge(origin, usedMs);
    };
    const pause = async (): Promise<void> => {
      charge();
      await nextLoop();
      await this.#takeBetween(origin);
      sliceAt = clock.monotonicMs();
    };
    const breathe: Breathe = () => {
      this.#movedMs = clock.monotonicMs();
      return this.#movedMs - sliceAt < sliceMs ? undefined : pause();
    };
    this.#busy.add(origin.tenant);
    this.#movedMs = sliceAt;
    const refused = await this.#takeFor(origin, breathe);
    this.#movedMs = clock.monotonicMs();
    this.#busy.delete(origin.tenant);
    charge();
    if (refused !== undefined) this.#judge(origin, takenMs, refused);
    this.#acknowledge();
    this.#unblock();
  }

  /** A slowed gateway's messages wait aside, as they must not hold back anybody's acknowledgements. */
  #judge(origin: Origin, takenMs: number, refused: boolean): void {
    const { clock, parked, signal } = this.#parts;
    const delay = this.#refusals.charge(origin, takenMs, refused, clock.monotonicMs());
    if (delay === undefined || parked === undefined || signal.aborted) return;
    if (delay.first) this.#parts.onSlowed?.(origin);
    this.#slowLane.slow(origin, this.#turns.withdraw(origin), delay.waitMs);
    this.#park((each) => isSame(each, origin));
  }

  async #takeBetween({ tenant }: Origin): Promise<void> {
    while (this.#busy.size < nestedMax && !this.#parts.signal.aborted) {
      const other = this.#turns.nextWithin(tenant, this.#busy);
      if (other === undefined) return;
      await this.#takeOne(other);
    }
  }

  /** Whether it was refused; undefined where nothing waits any more. */
  async #takeFor(origin: Origin, breathe: Breathe): Promise<boolean | undefined> {
    // What lies aside of a gateway is older.
    if (this.#parked.has(nameOf(origin))) return this.#takeParked(origin, breathe);
    const delivery = this.#window.find((each) => each.state === 'queued' && isSame(each.origin, origin));
    if (delivery === undefined) return undefined;
    delivery.state = 'running';
    const refused = await this.#parts.take(delivery.arrival, breathe);
    delivery.state = 'safe';
    return refused;
  }

  async #takeParked(origin: Origin, breathe: Breathe): Promise<boolean | undefined> {
    const { parked } = this.#parts;
    const found = parked?.oldest(origin);
    if (found === undefined) return undefined;
    const refused = await this.#parts.take(found.arrival, breathe);
    parked!.remove(origin, found.id, found.arrival);
    const name = nameOf(origin);
    const left = this.#parked.get(name)! - 1;
    if (left > 0) this.#parked.set(name, left);
    else this.#parked.delete(name);
    return refused;
  }

  /** Whether its messages go behind those of its gateway that lie aside, so that they stay in order. */
  #isBehind(origin: Origin): boolean {
    return this.#parked.has(nameOf(origin)) || this.#slowLane.has(origin);
  }

  /** Whether its tenant has its part of what is in memory. */
  #isSurplus({ origin: { tenant } }: Delivery): boolean {
    if (this.#parts.parked === undefined || !this.#hasOtherTenants) return false;
    const own = this.#window.filter((each) => each.origin.tenant === tenant);
    const bytes = own.reduce((sum, { arrival }) => sum + arrival.payload.length, 0);
    if (bytes > tenantWindowBytesMax && own.length > 1) return true;
    const tenants = new Set(this.#window.map((each) => each.origin.tenant)).size;
    return own.length > Math.max(tenantWindowMin, (this.#inFlightMax * tenantWindowShare) / tenants);
  }

  #isHeld(): boolean {
    if (this.#parts.isSinkAway?.() === true) return true;
    return this.#busy.size > 0 && this.#parts.clock.monotonicMs() - this.#movedMs > heldMs;
  }

  /** All that these have in memory, so that what lies aside of a gateway is older than what comes next. */
  #park(admits: (origin: Origin) => boolean): void {
    for (const delivery of this.#window) {
      if (delivery.state === 'queued' && admits(delivery.origin)) this.#parkMessage(delivery);
    }
  }

  #parkMessage(delivery: Delivery): void {
    const { parked, clock } = this.#parts;
    const { origin, arrival } = delivery;
    const kept = parked?.keepWaiting(origin, arrival, clock.wallMs(), delivery.wasHeld) === true;
    // Where older ones lie aside it would stay here until all of these were taken, and keep everybody out.
    if (!kept && delivery.wasHeld && !this.#isBehind(origin)) return;
    delivery.state = 'safe';
    if (!kept) {
      if (!this.#slowLane.drop(origin)) this.#turns.withdraw(origin, 1);
      return this.#parts.onOverrun(origin, arrival);
    }
    const name = nameOf(origin);
    this.#parked.set(name, (this.#parked.get(name) ?? 0) + 1);
  }

  /**
   * A message that waits for its turn must not hold back the acknowledgements of many of another tenant's. One whose
   * turn is not soon, as older ones lie aside, must not be in the broker's way either: it came while all waited.
   */
  #unblock(): void {
    if (this.#parts.parked === undefined || this.#isHeld()) return;
    for (let head = this.#window[0]; head?.state === 'queued'; head = this.#window[0]) {
      if (!this.#isBehind(head.origin) && !this.#blocksMany(head)) return;
      const { tenant } = head.origin;
      this.#park((each) => each.tenant === tenant);
      // No room aside, and no reason to let it go.
      if (head.state === 'queued') return;
      this.#acknowledge();
    }
  }

  #blocksMany({ origin: { tenant } }: Delivery): boolean {
    const blocked = this.#window.filter(({ state, origin }) => state === 'safe' && origin.tenant !== tenant);
    return blocked.length >= Math.max(tenantWindowMin, this.#inFlightMax * blockedShare);
  }

  #acknowledge(): void {
    while (this.#window[0]?.state === 'safe') {
      const delivery = this.#window.shift()!;
      this.#windowBytes -= delivery.arrival.payload.length;
      delivery.acknowledge();
    }
    if (this.#window.length < windowMax) for (const resolve of this.#roomWanted.splice(0)) resolve();
  }

  #hear(tenant: string): void {
    this.#firstTenant ??= tenant;
    if (tenant !== this.#firstTenant) this.#hasOtherTenants = true;
  }
}

function isSame(a: Origin, b: Origin): boolean {
  return a.tenant === b.tenant && a.gateway === b.gateway;
}

function nameOf({ tenant, gateway }: Origin): string {
  return `${tenant}/${gateway}`;
}
