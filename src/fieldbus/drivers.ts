import type { Driver } from './driver.ts';
import { modbusDriver } from './modbus/modbus-driver.ts';
import type { BusOptions, DeviceOptions } from './options.ts';
import { serialDriver } from './serial/serial-driver.ts';

/**
 * Every bus protocol. A new one is a folder with its driver, a line here, its kinds in options.ts, and its schemas in
 * src/config: CONTRIBUTING.md lists them.
 */
export const drivers: readonly Driver[] = [modbusDriver, serialDriver];

/** The device without the places in the configuration file that it comes from: a line added above changes nothing. */
export function withoutPlaces(device: DeviceOptions): DeviceOptions {
  return driverOfDevice(device.kind).withoutPlaces(device);
}

/** The driver of a kind of bus. Throws for a kind without one, which the configuration's schema refuses. */
export function driverOfBus(kind: BusOptions['kind'], table: readonly Driver[] = drivers): Driver {
  return found(
    table.find(({ busKinds }) => busKinds.includes(kind)),
    kind,
  );
}

/** The driver of a kind of device. */
export function driverOfDevice(kind: DeviceOptions['kind'], table: readonly Driver[] = drivers): Driver {
  return found(
    table.find(({ deviceKind }) => deviceKind === kind),
    kind,
  );
}

function found(driver: Driver | undefined, kind: string): Driver {
  if (driver === undefined) throw new Error(`no bus driver for '${kind}'`);
  return driver;
}
