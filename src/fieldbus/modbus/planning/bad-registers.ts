import type { Quality } from '../../../reading/quality.ts';
import { isAboutTheRequest } from '../exception.ts';
import type { PlanItem, PlannedRequest } from './planner.ts';

/** Registers that the device refused in a request of their own, while it answered others. */
export interface BadItem {
  item: PlanItem;
  quality: Quality;
  refusals: number;
  retryAtMs: number;
}

/** No request may cross it: the item of this order and the items before it are in separate requests. */
export interface Barrier {
  table: string;
  order: number;
  /** Orders of the items of the refused request that it halves. */
  from: number;
  to: number;
  untilMs: number;
}

/** Requests that a device is known to refuse. Immutable. */
export interface BadRegisters {
  bad: readonly BadItem[];
  barriers: readonly Barrier[];
}

export const noBadRegisters: BadRegisters = { bad: [], barriers: [] };

/** A register added by a firmware update or option module is found within ten minutes, later within an hour. */
const absentPausesMs = [600_000, 3_600_000];
/** Silence may be a lost reply, and each try may cost a whole timeout: soon at first, then ever more rarely. */
const silentPausesMs = [15_000, 30_000, 60_000, 120_000, 300_000, 600_000];
/** An exception about the device's own state may be over at any time: such a request is tried again within 15 s. */
const statePausesMs = [12_000];
/** A barrier costs one more request; once an hour a request tries whether it is still needed. */
const barrierMs = 3_600_000;

/**
 * The device refused this request because of its content (not because of the device's state). One item alone is bad;
 * more are halved, so that k bad ones among n are found in about k × log2 n further requests.
 */
export function refuse(
  refusals: BadRegisters,
  { table, items }: PlannedRequest,
  quality: Quality,
  now: number,
): BadRegisters {
  const [first, last] = [items[0]!, items.at(-1)!];
  if (items.length > 1) {
    const order = items[items.length >> 1]!.order;
    const barrier = { table, order, from: first.order, to: last.order, untilMs: now + barrierMs };
    return { ...refusals, barriers: [...refusals.barriers, barrier] };
  }
  const before = refusals.bad.find(({ item }) => item === first);
  const count = before?.refusals ?? 0;
  const pauses = pausesAfter(quality);
  const pause = pauses[Math.min(count, pauses.length - 1)]!;
  const bad = { item: first, quality, refusals: count + 1, retryAtMs: now + pause };
  return {
    bad: [...refusals.bad.filter(({ item }) => item !== first), bad],
    barriers: refusals.barriers.filter(
      (barrier) => barrier.table !== table || first.order < barrier.from || first.order > barrier.to,
    ),
  };
}

function pausesAfter(quality: Quality): readonly number[] {
  if (!quality.startsWith('exception:')) return silentPausesMs;
  return isAboutTheRequest(Number(quality.slice('exception:'.length))) ? absentPausesMs : statePausesMs;
}

/** The device answered: the items of the request are good from now on. */
export function accept(refusals: BadRegisters, { items }: PlannedRequest): BadRegisters {
  if (refusals.bad.length === 0) return refusals;
  const bad = refusals.bad.filter(({ item }) => !items.includes(item));
  return bad.length === refusals.bad.length ? refusals : { ...refusals, bad };
}

/** Removes expired barriers. */
export function current(refusals: BadRegisters, now: number): BadRegisters {
  if (!refusals.barriers.some(({ untilMs }) => untilMs <= now)) return refusals;
  return { ...refusals, barriers: refusals.barriers.filter(({ untilMs }) => untilMs > now) };
}
