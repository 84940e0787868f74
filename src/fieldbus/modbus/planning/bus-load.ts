import { formatDuration } from '../../../base/quantity.ts';
import type { BusOptions, ModbusDeviceOptions } from '../../options.ts';
import type { DeviceOptions } from '../../options.ts';
import { costModel, costOf, timingOf } from './request-cost.ts';
import { itemsOf, planRequests } from './planner.ts';
import { noRefusals } from './bad-registers.ts';

/** A bus that is asked for more than its line can carry. */
export interface Overload {
  bus: string;
  /** The device that takes most of it. */
  device: string;
  place?: string;
  message: string;
  hint: string;
}

/** The least that a device takes to answer: a check must not refuse what a quick one could do. */
const quickAnswerMs = { line: 5, socket: 1 };

/** Every Modbus bus whose plan doesn't fit its line, worst device first to slow down. */
export function overloads(buses: readonly BusOptions[], devices: readonly DeviceOptions[]): Overload[] {
  return buses.flatMap((bus) => {
    const own = devices.filter((device) => device.kind === 'modbus' && device.bus === bus.name);
    const loads = (own as ModbusDeviceOptions[]).map((device) => ({ device, load: loadOf(bus, device) }));
    const total = loads.reduce((sum, { load }) => sum + load, 0);
    const worst = loads.reduce((a, b) => (b.load > a.load ? b : a), loads[0]!);
    return total > 1 ? [describe(bus, worst, total)] : [];
  });
}

/** Share of the bus's time that the device's plan takes; above 1 it can't. */
export function loadOf(bus: BusOptions, device: ModbusDeviceOptions): number {
  const timing = timingOf(bus);
  const cost = costModel(timing, timing.charMs > 0 ? quickAnswerMs.line : quickAnswerMs.socket);
  const inFlight = 'pipeline' in bus && bus.kind === 'modbus-tcp' ? bus.pipeline : 1;
  // Where the device tells where its points are, they count as if its model stood at 0.
  const discovered = (device.discover?.points ?? []).map((point) => ({ ...point, address: point.register }));
  const items = itemsOf([...device.points, ...discovered]);
  const intervals = [...new Set(items.map(({ point }) => point.everyMs))].sort((a, b) => a - b);
  let load = 0;
  for (const [index, everyMs] of intervals.entries()) {
    const due = items.filter(({ point }) => point.everyMs <= everyMs);
    const requests = planRequests(due, device.limits, cost, noRefusals, 0);
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

function describe(
  bus: BusOptions,
  worst: { device: ModbusDeviceOptions; load: number },
  total: number,
): Overload {
  const { device, load } = worst;
  const left = 1 - (total - load);
  const line = 'baudRate' in bus ? `the line at ${bus.baudRate} baud` : 'what the endpoint can answer';
  const faster = 'baudRate' in bus ? 'raise the baud rate' : "raise 'pipeline'";
  const slower = left > 0 ? `slow '${device.name}' to ${niceDuration((device.everyMs * load) / left)}` : null;
  return {
    bus: bus.name,
    device: device.name,
    ...(device.place === undefined ? {} : { place: device.place }),
    message: `${bus.name}: ${Math.ceil(total * 100)} % of ${line}`,
    hint: `${slower ?? 'move devices to another bus, slow them'} or ${faster}`,
  };
}

/** The next round duration: what a person would write, as configuration writes it. */
function niceDuration(ms: number): string {
  const steps = [100, 200, 250, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];
  const nice = steps.find((step) => step >= ms) ?? Math.ceil(ms / 600_000) * 600_000;
  return formatDuration(nice).replace(' min', 'm').replace(' ', '');
}
