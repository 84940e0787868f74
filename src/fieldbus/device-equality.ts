import { isDeepStrictEqual } from 'node:util';
import type { DeviceOptions } from './options.ts';

/**
 * Whether nothing about the device changed. `withoutPlaces` is its driver's: the device's place in the file does not
 * count, because a line that was added above moves it.
 */
export function isSameDevice<D extends DeviceOptions>(a: D, b: D, withoutPlaces: (device: D) => D): boolean {
  return a.name === b.name && a.silo === b.silo && isDeepStrictEqual(withoutPlaces(a), withoutPlaces(b));
}

export function withoutPlace<T extends { place?: string }>(each: T): T {
  const { place: _, ...rest } = each;
  return rest as T;
}
