/** The first power of ten that a double can't hold exactly is 10^23; 15 decimals are what one can mean. */
const decimalsMax = 15;

/** Decimals of the shortest text that names the number: 0.1 → 1, 2.5e-4 → 5, 1000 → 0. */
export function decimalsOf(value: number): number {
  const [digits, exponent] = String(value).split('e') as [string, string | undefined];
  const fraction = digits.split('.')[1]?.length ?? 0;
  return Math.max(0, fraction - Number(exponent ?? 0));
}

/**
 * raw × scale + offset, without the noise of binary fractions: 2304 × 0.1 is 230.4, not 230.40000000000003.
 * Scale and offset are taken as the decimals they are written as, so an integer stays one until the
 * single, correctly rounded division at the end.
 */
export function compileScale(scale = 1, offset = 0): (raw: number) => number {
  if (scale === 1 && offset === 0) return (raw) => raw;
  const decimals = Math.max(decimalsOf(scale), decimalsOf(offset));
  if (decimals > decimalsMax) return (raw) => raw * scale + offset;
  const divisor = 10 ** decimals;
  const factor = Math.round(scale * divisor);
  const shift = Math.round(offset * divisor);
  return (raw) => {
    const whole = raw * factor + shift;
    return Math.abs(whole) <= Number.MAX_SAFE_INTEGER ? whole / divisor : raw * scale + offset;
  };
}

/** value × 10^exponent, likewise; SunSpec's scale factors. */
export function timesPowerOfTen(value: number, exponent: number): number {
  if (exponent >= 0) return value * 10 ** exponent;
  const decimals = decimalsOf(value);
  const whole = Math.round(value * 10 ** decimals);
  const exact = Number.isSafeInteger(whole) && decimals - exponent <= decimalsMax;
  return exact ? whole / 10 ** (decimals - exponent) : value / 10 ** -exponent;
}
