import type { DeviceDescription, PointDescription } from '../reading/point.ts';
import type { Limit } from '../reading/range.ts';
import { driverOfDevice } from './drivers.ts';
import type { DeviceOptions } from './options.ts';

/** The description of a device for the owner of its data. */
export function describeDevice(device: DeviceOptions): DeviceDescription {
  const { name, profile, profileSha256 } = device;
  return {
    name,
    ...(profile !== undefined && { profile }),
    ...(profileSha256 !== undefined && { profileSha256 }),
    points: pointsOf(device),
  };
}

function pointsOf(device: DeviceOptions): PointDescription[] {
  const declared = driverOfDevice(device.kind).points(device);
  const described = declared.map(({ name, type, unit, min, max }) => ({
    name,
    type,
    ...(unit !== undefined && { unit }),
    ...(min !== undefined && { min: limitOf(min) }),
    ...(max !== undefined && { max: limitOf(max) }),
  }));
  // Two kinds of frame, or two models, may fill the same point; it is described once.
  return [...new Map(described.map((point) => [point.name, point])).values()];
}

/** As values have it: an integer beyond 2^53 is a decimal string. */
function limitOf(limit: Limit): number | string {
  return typeof limit === 'bigint' ? String(limit) : limit;
}
