import type { Value } from '../../reading/sample.ts';

/** SenML unit codes (RFC 8428) as people write them; the others are written as they are. */
const signs: Record<string, string> = { Cel: '°C', deg: '°', '%RH': '%', '%': '%', 'm/s': 'm/s' };

/** A value for people: `4312 W`, `230.4 V`, `-18.3 °C`, `on`. */
export function showValue(value: Value, unit: string | null = null): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string') return value;
  const sign = unit === null ? '' : ` ${signs[unit] ?? unit}`;
  return `${value.toFixed(decimals(value, unit))}${sign}`;
}

/** A counter shows its last Wh moving; everything else, four or five digits that matter. */
function decimals(value: number, unit: string | null): number {
  if (unit === 'kWh') return 3;
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return 0;
  return Math.abs(value) >= 20 ? 1 : 2;
}
