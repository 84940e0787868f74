import type { RegisterType } from '../../reading/point.ts';
import type { Range } from '../../reading/range.ts';
import { isNumeric, type Ranges } from './range-schema.ts';

/** The keys of a point that its range depends on. */
interface RangedPoint {
  name: string;
  type: RegisterType;
  unit?: string | undefined;
  enum?: unknown;
  min?: Range['min'] | undefined;
  max?: Range['max'] | undefined;
}

/**
 * The point with its range: what the device's `own` ranges say of it or of its unit, else its own `min` and `max`,
 * else what the profile says of its unit.
 */
export function withRange<Point extends RangedPoint>(
  point: Point,
  own: Ranges | undefined,
  ofUnits: Ranges | undefined,
): Omit<Point, 'min' | 'max'> & Range {
  const { min, max, ...rest } = point;
  if (!isNumeric(point.type) || point.enum !== undefined) return rest;
  const isOwn = min !== undefined || max !== undefined;
  const range =
    at(own, point.name) ?? at(own, point.unit) ?? (isOwn ? { min, max } : at(ofUnits, point.unit)) ?? {};
  return {
    ...rest,
    ...(range.min !== undefined && { min: range.min }),
    ...(range.max !== undefined && { max: range.max }),
  };
}

/** The keys of `ranges` that are neither a unit nor, where these count, a name of the points. */
export function strayRanges(
  ranges: Ranges | undefined,
  points: readonly Pick<RangedPoint, 'name' | 'unit'>[],
  by: 'unit' | 'name or unit',
): string[] {
  const known = new Set(points.flatMap(({ name, unit }) => (by === 'unit' ? [unit] : [unit, name])));
  return Object.keys(ranges ?? {}).filter((key) => !known.has(key));
}

function at(ranges: Ranges | undefined, key: string | undefined): Ranges[string] | undefined {
  return ranges !== undefined && key !== undefined && Object.hasOwn(ranges, key) ? ranges[key] : undefined;
}
