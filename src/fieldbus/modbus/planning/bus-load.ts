import type { ModbusBusOptions, ModbusDeviceOptions } from '../../options.ts';
import { costModel, costOf, timingOf } from './request-cost.ts';
import { itemsOf, planRequests } from './planner.ts';
import { noBadRegisters } from './bad-registers.ts';

/** The fastest answer of a device: the check must not refuse a plan that a fast device could serve. */
const quickAnswerMs = { line: 5, socket: 1 };

/** Share of the bus's time that the device's plan takes; above 1 it does not fit. */
export function loadOf(bus: ModbusBusOptions, device: ModbusDeviceOptions): number {
  const timing = timingOf(bus);
  const cost = costModel(timing, timing.charMs > 0 ? quickAnswerMs.line : quickAnswerMs.socket);
  const inFlight = bus.kind === 'modbus-tcp' ? bus.pipeline : 1;
  // Points of a SunSpec device count as if their model were at address 0.
  const discovered = (device.discover?.points ?? []).map((point) => ({ ...point, address: point.register }));
  const items = itemsOf([...device.points, ...discovered]);
  const intervals = [...new Set(items.map(({ point }) => point.everyMs))].sort((a, b) => a - b);
  let load = 0;
  for (const [index, everyMs] of intervals.entries()) {
    const due = items.filter(({ point }) => point.everyMs <= everyMs);
    const requests = planRequests(due, device.limits, cost, noBadRegisters, 0);
    const pollMs = requests.reduce(
      (sum, { table, quantity }) => sum + costOf(cost, table, quantity) + device.limits.requestGapMs,
      0,
    );
    // A poll of a longer interval takes the shorter ones along.
    const longer = intervals[index + 1];
    load += pollMs * (1 / everyMs - (longer === undefined ? 0 : 1 / longer));
  }
  return load / inFlight;
}
