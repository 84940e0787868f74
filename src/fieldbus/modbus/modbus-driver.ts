import type { Driver } from '../driver.ts';
import type { ModbusBusOptions, ModbusDeviceOptions } from '../options.ts';
import { modbusChannel } from './transport/modbus-channel.ts';
import { withoutPlaces } from './modbus-device.ts';
import { loadOf } from './planning/bus-load.ts';
import { createModbusBus } from './polling/modbus-bus.ts';

/** Modbus over all its transports, polled by a plan. */
export const modbusDriver: Driver<ModbusBusOptions, ModbusDeviceOptions> = {
  busKinds: ['modbus-rtu', 'modbus-tcp', 'modbus-rtu-over-tcp', 'modbus-ascii', 'modbus-udp'],
  deviceKind: 'modbus',
  openChannel: modbusChannel,
  start: createModbusBus,
  check: () => {},
  // For a SunSpec device, every point that it may turn out to have.
  points: ({ points, discover }) =>
    [...points, ...(discover?.points ?? [])].filter(({ internal }) => !internal),
  withoutPlaces,
  load: loadOf,
};
