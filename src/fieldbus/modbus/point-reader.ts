import { bitAt, compileDecoder } from '../../reading/registers.ts';
import type { Value } from '../../reading/sample.ts';
import { timesPowerOfTen } from '../../reading/scale.ts';
import type { ModbusPointOptions } from '../options.ts';

/** From the data of an answer that begins at `address` to the point's value; undefined: invalid. */
export type PointReader = (data: Uint8Array, address: number) => Value | undefined;

export function pointReader(point: ModbusPointOptions): PointReader {
  if (point.table === 'coil' || point.table === 'discrete') {
    return (data, address) => bitAt(data, point.address - address);
  }
  const decode = compileDecoder(point);
  return (data, address) => decode(data, (point.address - address) * 2);
}

/** SunSpec Device Information Model, sunssf; beyond these bounds the register holds something else. */
const powerMax = 10;

/**
 * Applies the power of ten that another point holds (SunSpec); undefined if that one is unknown or not a valid power.
 */
export function withFactor(value: Value, factor: Value | undefined): Value | undefined {
  if (typeof value !== 'number' || typeof factor !== 'number') return undefined;
  if (!Number.isInteger(factor) || Math.abs(factor) > powerMax) return undefined;
  const scaled = timesPowerOfTen(value, factor);
  return Number.isFinite(scaled) ? scaled : undefined;
}
