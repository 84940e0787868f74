import { registerCount } from '../../../reading/registers.ts';
import type { ModbusPointOptions, ModbusTable, RequestLimits } from '../../options.ts';
import { type CostModel, costOf } from './request-cost.ts';
import type { BadRegisters } from './bad-registers.ts';

/** One point as the planner sees it: the registers (or bits) `start` to `end`, exclusive. */
export interface PlanItem {
  point: ModbusPointOptions;
  table: ModbusTable;
  start: number;
  end: number;
  /** Place among all the device's items of this table, by `start`, then `end`. */
  order: number;
}

export interface PlannedRequest {
  table: ModbusTable;
  address: number;
  quantity: number;
  /** The wanted items that it reads, by `order`. */
  items: readonly PlanItem[];
}

export type Spacing = Pick<RequestLimits, 'registersMax' | 'bitsMax' | 'gapMax'>;

/** The items of a device, each table in order of address. */
export function itemsOf(points: readonly ModbusPointOptions[]): PlanItem[] {
  const items = points.map((point) => {
    const isBit = point.table === 'coil' || point.table === 'discrete';
    const end = point.address + (isBit ? 1 : registerCount(point));
    return { point, table: point.table, start: point.address, end, order: 0 };
  });
  items.sort((a, b) => a.table.localeCompare(b.table) || a.start - b.start || a.end - b.end);
  let order = 0;
  for (const [index, item] of items.entries()) {
    order = item.table === items[index - 1]?.table ? order + 1 : 0;
    item.order = order;
  }
  return items;
}

/**
 * The cheapest requests that read all of `items` (of one device, in the order of `itemsOf`), within the
 * limits and around what the device refuses. Known bad items are left out until their
 * next try, and then get a request of their own. An item wider than the limit gets a request of its own, too.
 */
export function planRequests(
  items: readonly PlanItem[],
  limits: Spacing,
  cost: CostModel,
  badRegisters: BadRegisters,
  now: number,
): PlannedRequest[] {
  const bad = new Map(badRegisters.bad.map((entry) => [entry.item, entry]));
  const good = items.filter((item) => !bad.has(item));
  const retried = items.filter((item) => (bad.get(item)?.retryAtMs ?? Infinity) <= now);
  const tables = [...new Set(good.map(({ table }) => table))];
  return [
    ...tables.flatMap((table) =>
      planTable(
        good.filter((item) => item.table === table),
        { ...limits, cost, table, badRegisters },
      ),
    ),
    ...retried.map((item) => requestFor([item], item.end)),
  ];
}

interface TableRules extends Spacing {
  table: ModbusTable;
  cost: CostModel;
  badRegisters: BadRegisters;
}

/** Cheapest partition into runs of neighbours: best[i] is the least cost of the items before i. */
function planTable(items: readonly PlanItem[], rules: TableRules): PlannedRequest[] {
  const best: { cost: number; from: number; end: number }[] = [{ cost: 0, from: 0, end: 0 }];
  for (let last = 0; last < items.length; last += 1) {
    let choice = { cost: Infinity, from: last, end: items[last]!.end };
    let end = 0;
    for (let first = last; first >= 0; first -= 1) {
      end = Math.max(end, items[first]!.end);
      if (first < last && !mayJoin(items, first, last, end, rules)) break;
      const quantity = end - items[first]!.start;
      const total = best[first]!.cost + costOf(rules.cost, rules.table, quantity);
      if (total < choice.cost) choice = { cost: total, from: first, end };
    }
    best.push(choice);
  }
  const requests: PlannedRequest[] = [];
  for (let next = items.length; next > 0; next = best[next]!.from) {
    requests.unshift(requestFor(items.slice(best[next]!.from, next), best[next]!.end));
  }
  return requests;
}

function requestFor(items: readonly PlanItem[], end: number): PlannedRequest {
  const { table, start } = items[0]!;
  return { table, address: start, quantity: end - start, items };
}

/** Whether the run that `first` would begin is allowed; `first` + 1 to `last` is already. */
function mayJoin(
  items: readonly PlanItem[],
  first: number,
  last: number,
  end: number,
  { table, registersMax, bitsMax, gapMax, badRegisters }: TableRules,
): boolean {
  const quantityMax = table === 'coil' || table === 'discrete' ? bitsMax : registersMax;
  const { start, end: firstEnd, order } = items[first]!;
  const next = items[first + 1]!;
  if (end - start > quantityMax) return false;
  if (gapMax !== undefined && next.start - firstEnd > gapMax) return false;
  const separated = badRegisters.barriers.some(
    (barrier) => barrier.table === table && order < barrier.order && items[last]!.order >= barrier.order,
  );
  return (
    !separated &&
    !badRegisters.bad.some(({ item }) => item.table === table && item.start < end && start < item.end)
  );
}
