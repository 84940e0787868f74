import { formatDuration } from '../base/quantity.ts';
import { driverOfBus } from './drivers.ts';
import type { BusOptions, DeviceOptions } from './options.ts';

/** A bus that is asked for more than its line can carry. */
export interface Overload {
  bus: string;
  /** The device that takes most of it. */
  device: string;
  place?: string;
  message: string;
  hint: string;
}

/** Every bus whose devices' plans don't fit its line; names the device that takes most of it. */
export function overloads(buses: readonly BusOptions[], devices: readonly DeviceOptions[]): Overload[] {
  return buses.flatMap((bus) => {
    const driver = driverOfBus(bus.kind);
    const own = devices.filter(({ kind, bus: on }) => kind === driver.deviceKind && on === bus.name);
    const loads = own.map((device) => ({ device, load: driver.load(bus, device) }));
    const total = loads.reduce((sum, { load }) => sum + load, 0);
    const worst = loads.reduce((a, b) => (b.load > a.load ? b : a), loads[0]!);
    return total > 1 ? [describe(bus, worst, total)] : [];
  });
}

function describe(bus: BusOptions, worst: { device: DeviceOptions; load: number }, total: number): Overload {
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

/** The next round duration, as a person would write it in the configuration. */
function niceDuration(ms: number): string {
  const steps = [100, 200, 250, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];
  const nice = steps.find((step) => step >= ms) ?? Math.ceil(ms / 600_000) * 600_000;
  return formatDuration(nice).replace(' min', 'm').replace(' ', '');
}
