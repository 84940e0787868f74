import { isDeepStrictEqual } from 'node:util';
import type { DeviceOptions } from './options.ts';

/**
 * Whether nothing about the device changed. Where it is written does not count: a line that somebody else adds
 * further up in the configuration moves it.
 */
export function isSameDevice(a: DeviceOptions, b: DeviceOptions): boolean {
  return a.name === b.name && a.silo === b.silo && isDeepStrictEqual(placeless(a), placeless(b));
}

function placeless(device: DeviceOptions): unknown {
  const own = withoutPlace(device);
  if (device.kind === 'serial') return own;
  const { points, discover } = device;
  return {
    ...own,
    points: points.map(withoutPlace),
    discover: discover && { ...discover, points: discover.points.map(withoutPlace) },
  };
}

function withoutPlace<T extends { place?: string }>(each: T): Omit<T, 'place'> {
  const { place: _, ...rest } = each;
  return rest;
}
