import type { Outlier } from '../../reading/range.ts';
import type { Framing, SerialRequestStep } from '../options.ts';
import type { Telegram } from './message-reader.ts';
import type { Pattern } from './pattern.ts';
import type { SerialLine } from './serial-line.ts';

/** A step of a dialogue, compiled. */
export type Step = Omit<SerialRequestStep, 'expect'> & { expect: Pattern | null };

/** A later answer's value of a point replaces an earlier one's. */
export function addTelegram(
  result: Telegram,
  { values, quality, outliers = [], contradiction, inconsistency }: Telegram,
): void {
  if (contradiction !== undefined) result.contradiction = contradiction;
  if (inconsistency !== undefined) result.inconsistency = inconsistency;
  for (const name of Object.keys(values)) delete result.quality[name];
  for (const name of Object.keys(quality)) delete result.values[name];
  Object.assign(result.values, values);
  Object.assign(result.quality, quality);
  const isOver = ({ point: { name } }: Outlier): boolean => name in values || name in quality;
  result.outliers = [...(result.outliers ?? []).filter((outlier) => !isOver(outlier)), ...outliers];
}

export function fill(
  parts: NonNullable<SerialRequestStep['send']>,
  groups: ReadonlyMap<string, string>,
): Uint8Array {
  const text = parts
    .map((part) => (typeof part === 'string' ? part : (groups.get(part.group) ?? '')))
    .join('');
  return Buffer.from(text, 'latin1');
}

export function rateAfter({ thenBaudRate }: Step, groups: ReadonlyMap<string, string>): number | null {
  if (thenBaudRate === undefined) return null;
  if (typeof thenBaudRate === 'number') return thenBaudRate;
  return thenBaudRate.rates[groups.get(thenBaudRate.group) ?? ''] ?? null;
}

export function timeoutOf({ timeout }: Step, responseTimeoutMs: number): number {
  return typeof timeout === 'number' ? timeout : responseTimeoutMs;
}

/** How long the device announced that it will measure; null if it was not asked, or gave no number. */
export function announcedBy({ timeout }: Step, groups: ReadonlyMap<string, string>): number | null {
  if (typeof timeout !== 'object') return null;
  const seconds = Number(groups.get(timeout.secondsOf));
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
}

/** Twice the time that the longest frame takes on the line: sensors pause between characters. */
export function longestFrameMs(framing: Framing, baudRate: number, line: SerialLine): number {
  const characters = framing.by === 'fixed-length' ? framing.length : framing.bytesMax;
  return (2 * characters * line.bitsPerCharacter * 1000) / baudRate;
}
