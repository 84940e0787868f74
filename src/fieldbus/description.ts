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
  const described = declaredPoints(device).map(({ name, type, unit }) => ({
    name,
    type,
    ...(unit !== undefined && { unit }),
  }));
  // Two kinds of frame, or two models, may fill the same point: it is described once.
  return [...new Map(described.map((point) => [point.name, point])).values()];
}

/** Where the device itself tells where its points are, all that it may turn out to have. */
function declaredPoints(device: DeviceOptions): readonly PointDescription[] {
  if (device.kind === 'serial') return device.protocol.messages.flatMap(({ fields }) => fields);
  return [...device.points, ...(device.discover?.points ?? [])].filter(({ internal }) => !internal);
}
