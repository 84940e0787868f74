import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ModbusTable } from '../../../../src/fieldbus/options.ts';
import { serialTiming, socketTiming } from '../../../../src/fieldbus/modbus/line-timing.ts';
import { costModel, costOf } from '../../../../src/fieldbus/modbus/planning/request-cost.ts';
import {
  itemsOf,
  type PlanItem,
  type PlannedRequest,
  planRequests,
} from '../../../../src/fieldbus/modbus/planning/planner.ts';
import {
  accept,
  current,
  noBadRegisters,
  type BadRegisters,
  refuse,
} from '../../../../src/fieldbus/modbus/planning/bad-registers.ts';
import { registerPoint } from '../../../support/modbus-options.ts';

const limits = { registersMax: 125, bitsMax: 2000 };
const at19200 = serialTiming({ baudRate: 19_200, dataBits: 8, parity: 'even', stopBits: 1 });
const cost = costModel(at19200, 20);

function isBits(table: ModbusTable): boolean {
  return table === 'coil' || table === 'discrete';
}

const point = fc.record({
  table: fc.constantFrom<ModbusTable>('coil', 'discrete', 'input', 'holding'),
  address: fc.integer({ min: 0, max: 400 }),
  type: fc.constantFrom('int16', 'float32', 'uint64', 'string'),
  length: fc.integer({ min: 1, max: 16 }),
});
const points = fc
  .array(point, { minLength: 1, maxLength: 60 })
  .map((all) => all.map((each, index) => registerPoint(`p${index}`, each)));
const anyLimits = fc.record(
  {
    registersMax: fc.integer({ min: 16, max: 125 }),
    bitsMax: fc.integer({ min: 1, max: 2000 }),
    gapMax: fc.integer({ min: 0, max: 50 }),
  },
  { requiredKeys: ['registersMax', 'bitsMax'] },
);
const anyCost = fc.oneof(
  fc
    .tuple(fc.constantFrom(1200, 9600, 19_200, 115_200), fc.integer({ min: 0, max: 200 }))
    .map(([baudRate, answerMs]) =>
      costModel(serialTiming({ baudRate, dataBits: 8, parity: 'none', stopBits: 1 }), answerMs),
    ),
  fc.integer({ min: 1, max: 200 }).map((answerMs) => costModel(socketTiming, answerMs)),
);

/** Registers that a simulated device does not have. */
const missing = fc.uniqueArray(fc.integer({ min: 0, max: 415 }), { maxLength: 12 });

function touches(request: PlannedRequest, addresses: readonly number[]): boolean {
  return addresses.some(
    (address) => address >= request.address && address < request.address + request.quantity,
  );
}

describe('the planner', () => {
  it('covers every point, within the limits, never above the cost of asking one by one', () => {
    fc.assert(
      fc.property(points, anyLimits, anyCost, (options, spacing, cost) => {
        const items = itemsOf(options);
        const requests = planRequests(items, spacing, cost, noBadRegisters, 0);
        for (const { table, address, quantity, items: own } of requests) {
          const most = isBits(table) ? spacing.bitsMax : spacing.registersMax;
          assert.ok(quantity <= most, `${quantity} of at most ${most}`);
          for (const item of own) {
            assert.equal(item.table, table);
            assert.ok(item.start >= address && item.end <= address + quantity);
          }
          let end = own[0]!.end;
          for (const item of own) {
            assert.ok(item.start - end <= (spacing.gapMax ?? Infinity));
            end = Math.max(end, item.end);
          }
        }
        const covered = requests.flatMap(({ items }) => items.map((item) => item.point.name));
        assert.deepEqual(covered.sort(), options.map(({ name }) => name).sort());
        const total = (all: { table: string; quantity: number }[]): number =>
          all.reduce((sum, { table, quantity }) => sum + costOf(cost, table, quantity), 0);
        const unmerged = items.map(({ table, start, end }) => ({ table, quantity: end - start }));
        assert.ok(total(requests) <= total(unmerged) + 1e-9);
      }),
      { numRuns: 300 },
    );
  });

  it('finds exactly the bad registers, asks none of them again, and keeps the good points', () => {
    fc.assert(
      fc.property(points, missing, (options, absent) => {
        const items = itemsOf(options);
        const { refusals, refused } = learn(items, absent);
        const bad = new Set(refusals.bad.map(({ item }) => item.point.name));
        for (const item of items) {
          const isAbsent = touches(
            { ...item, address: item.start, quantity: item.end - item.start, items: [] },
            absent,
          );
          assert.equal(bad.has(item.point.name), isAbsent, item.point.name);
        }
        const plan = planRequests(items, limits, cost, refusals, 1);
        for (const request of plan) {
          for (const { item } of refusals.bad) {
            const overlaps = item.table === request.table && item.start < request.address + request.quantity;
            const isOwn = request.items.every(({ start, end }) => start < item.end && item.start < end);
            assert.ok(isOwn || !overlaps || item.end <= request.address, 'a known bad register is asked for');
          }
        }
        assert.ok(refused <= 60 + 12 * 8 * 4, `${refused} refusals`);
      }),
      { numRuns: 200 },
    );
  });

  /** A device that refuses every request with an absent register; polled until the plan has no refused request left. */
  function learn(items: PlanItem[], absent: readonly number[]): { refusals: BadRegisters; refused: number } {
    let refusals = noBadRegisters;
    for (let refused = 0; refused < 1000; refused += 1) {
      const requests = planRequests(items, limits, cost, refusals, 0);
      const next = requests.find((request) => touches(request, absent));
      if (next === undefined) return { refusals, refused };
      refusals = refuse(refusals, next, 'exception:2', 0);
    }
    throw new Error('the search for bad registers does not end');
  }

  it('finds one bad register among a hundred in few requests, and merges the rest again', () => {
    const options = Array.from({ length: 100 }, (_, index) =>
      registerPoint(`p${index}`, { table: 'holding', address: index, type: 'uint16' }),
    );
    const items = itemsOf(options);
    const { refusals, refused } = learn(items, [37]);
    assert.ok(refused <= 8, `${refused} refusals`);
    const plan = planRequests(items, limits, cost, refusals, 1);
    assert.deepEqual(
      plan.map(({ address, quantity }) => [address, quantity]),
      [
        [0, 37],
        [38, 62],
      ],
    );
  });

  it('does without a gap that the device refuses', () => {
    const options = [0, 5].map((address) =>
      registerPoint(`p${address}`, { table: 'input', address, type: 'float32' }),
    );
    const items = itemsOf(options);
    assert.equal(planRequests(items, limits, cost, noBadRegisters, 0).length, 1);
    const { refusals } = learn(items, [3]);
    assert.equal(refusals.bad.length, 0);
    assert.equal(planRequests(items, limits, cost, refusals, 0).length, 2);
    const later = current(refusals, 2 * 3_600_000);
    assert.equal(planRequests(items, limits, cost, later, 2 * 3_600_000).length, 1);
  });

  it('tries a bad register again alone, rarely, and takes it back when it answers', () => {
    const options = [0, 1, 2].map((address) =>
      registerPoint(`p${address}`, { table: 'input', address, type: 'int16' }),
    );
    const items = itemsOf(options);
    const { refusals } = learn(items, [1]);
    const soon = planRequests(items, limits, cost, refusals, 599_999);
    assert.ok(!soon.some(({ items: own }) => own.includes(items[1]!)));
    const retried = planRequests(items, limits, cost, refusals, 600_000).find(({ items: own }) =>
      own.includes(items[1]!),
    );
    assert.deepEqual(retried?.items, [items[1]]);
    const again = refuse(refusals, retried, 'exception:2', 600_000);
    assert.equal(again.bad[0]?.retryAtMs, 600_000 + 3_600_000);
    assert.equal(planRequests(items, limits, cost, accept(again, retried), 600_001).length, 1);
  });

  it('weighs a gap against the line: more bytes on a fast line, more requests on a slow one', () => {
    const options = [0, 20].map((address) =>
      registerPoint(`p${address}`, { table: 'input', address, type: 'int16' }),
    );
    const items = itemsOf(options);
    const at = (baudRate: number, answerMs: number): number => {
      const timing = serialTiming({ baudRate, dataBits: 8, parity: 'none', stopBits: 1 });
      return planRequests(items, limits, costModel(timing, answerMs), noBadRegisters, 0).length;
    };
    assert.equal(at(1200, 5), 2);
    assert.equal(at(1200, 500), 1);
    assert.equal(at(115_200, 5), 1);
  });
});
