import { withoutPlace } from '../device-equality.ts';
import type { ModbusDeviceOptions } from '../options.ts';

/** The device without the places in the configuration file that it and its points come from. */
export function withoutPlaces(device: ModbusDeviceOptions): ModbusDeviceOptions {
  const { points, discover } = device;
  return {
    ...withoutPlace(device),
    points: points.map(withoutPlace),
    ...(discover && { discover: { ...discover, points: discover.points.map(withoutPlace) } }),
  };
}
