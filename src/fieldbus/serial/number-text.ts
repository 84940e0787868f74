import type { Value } from '../../reading/sample.ts';
import { compileScale, decimalsOf } from '../../reading/scale.ts';
import type { SerialFieldOptions } from '../options.ts';

/** Text → value; `negated` turns its sign. Undefined where the text has no value. */
export type TextReader = (text: string, negated: boolean) => Value | undefined;

/** Scales pad between the sign and the digits (`-   12.34`), and some put the sign behind them (`12.34-`). */
const decimalText =
  /^(?<before>[+-])?[ \t]*(?<digits>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)[ \t]*(?<behind>[+-])?$/;
const hexText = /^[0-9A-Fa-f]+$/;
const integerText = /^\d+$/;

/** Decimal digits with a sign at one end at most. Digits in groups (`1 234`) have no agreed reading, and no value. */
function splitDecimal(text: string): { digits: string; isNegative: boolean } | undefined {
  const { before, digits, behind } = decimalText.exec(text)?.groups ?? {};
  if (digits === undefined || (before !== undefined && behind !== undefined)) return undefined;
  return { digits, isNegative: (before ?? behind) === '-' };
}

export function compileNumber(field: SerialFieldOptions): TextReader {
  const { type, notation, scale, offset } = field;
  const isInteger = type !== 'float32' && type !== 'float64';
  const scaled = scale !== undefined || offset !== undefined;
  const applyScale = compileScale(scale, offset);
  const decimals = Math.max(decimalsOf(scale ?? 1), decimalsOf(offset ?? 0));
  return (text, negated) => {
    const parts = splitNumber(text, notation);
    if (parts === undefined) return undefined;
    const { digits } = parts;
    if (isInteger && notation !== 'hex' && !integerText.test(digits)) return undefined;
    const isNegative = parts.isNegative !== negated;
    const size = notation === 'hex' ? Number.parseInt(digits, 16) : Number(digits);
    if (!Number.isFinite(size)) return undefined;
    const raw = isNegative && size !== 0 ? -size : size; // there is no -0 of a scale
    if (notation === 'degrees-minutes') return degrees(raw);
    if (scaled) return rounded(applyScale(raw), decimals + decimalsOf(raw));
    return isInteger && !Number.isSafeInteger(raw) ? exactInteger(digits, notation, isNegative) : raw;
  };
}

function splitNumber(
  text: string,
  notation: SerialFieldOptions['notation'],
): { digits: string; isNegative: boolean } | undefined {
  if (notation === 'hex') return hexText.test(text) ? { digits: text, isNegative: false } : undefined;
  return splitDecimal(notation === 'decimal-comma' ? text.replace(',', '.') : text);
}

/** Beyond 2^53 an integer is its decimal text. */
function exactInteger(digits: string, notation: SerialFieldOptions['notation'], isNegative: boolean): string {
  const value = BigInt(notation === 'hex' ? `0x${digits}` : digits);
  return String(isNegative ? -value : value);
}

/** dddmm.mmmm → degrees; a hundred-millionth of a degree is a millimetre. */
function degrees(value: number): number | undefined {
  const whole = Math.trunc(value / 100);
  const minutes = value - whole * 100;
  return Math.abs(minutes) < 60 ? rounded(whole + minutes / 60, 8) : undefined;
}

/** Removes the noise of binary fractions below the last decimal that the text and the scale name. */
function rounded(value: number, decimals: number): number {
  return decimals > 15 || Math.abs(value) >= 1e15 ? value : Number(value.toFixed(decimals));
}
