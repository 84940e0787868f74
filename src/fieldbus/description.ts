import type { DeviceDescription, PointDescription } from '../reading/point.ts';
import type { DeviceOptions } from './options.ts';

/** What the owner of a device's data is told about it. */
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
  const points = device.kind === 'modbus' ? device.points : device.protocol.messages.flatMap((each) => each.fields);
  const described = points.map(({ name, type, unit }) => ({ name, type, ...(unit !== undefined && { unit }) }));
  // Two kinds of frame may fill the same point: it is described once.
  return [...new Map(described.map((point) => [point.name, point])).values()];
}
