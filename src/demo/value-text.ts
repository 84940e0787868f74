import type { Value } from '../reading/sample.ts';

/** SenML unit codes (RFC 8428) as people write them, with as many decimals as keep a value from flickering. */
const units: Record<string, { sign: string; decimals: number }> = {
  W: { sign: 'W', decimals: 0 },
  VA: { sign: 'VA', decimals: 0 },
  var: { sign: 'var', decimals: 0 },
  '/': { sign: '', decimals: 3 },
  count: { sign: '', decimals: 0 },
  hPa: { sign: 'hPa', decimals: 1 },
  m: { sign: 'm', decimals: 1 },
  lat: { sign: '°N', decimals: 4 },
  lon: { sign: '°E', decimals: 4 },
  kWh: { sign: 'kWh', decimals: 3 },
  V: { sign: 'V', decimals: 1 },
  A: { sign: 'A', decimals: 2 },
  Hz: { sign: 'Hz', decimals: 2 },
  Cel: { sign: '°C', decimals: 1 },
  '%RH': { sign: '%', decimals: 1 },
  'm/s': { sign: 'm/s', decimals: 1 },
  deg: { sign: '°', decimals: 0 },
};

/** A value for people: `4312 W`, `230.4 V`, `-18.3 °C`, `on`. */
export function showValue(value: Value, unit: string | null = null): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string') return value;
  const known = units[unit ?? ''];
  if (known !== undefined) return `${value.toFixed(known.decimals)} ${known.sign}`.trimEnd();
  return `${Number.isInteger(value) ? value : value.toFixed(2)} ${unit ?? ''}`.trimEnd();
}
