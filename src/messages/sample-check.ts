import type { PublishedSample } from './telemetry.ts';
import { nameTextMax, valueTextMax } from './document-limits.ts';
import { qualityPattern } from './message-schema.ts';

/** As `ms` of the schema. */
const msMax = 253_402_300_799_999;

/**
 * Whether a sample is what `sampleSchema` takes, some ten times as quickly: samples are nearly all of the stream,
 * and nearly all of them are good. False says nothing: the schema decides then, and names the fault.
 */
export function isSample(value: unknown): value is PublishedSample {
  if (!isRecord(value)) return false;
  const { device, ts, clock, values, quality } = value;
  const known = 3 + Number(clock !== undefined) + Number(quality !== undefined);
  return (
    Object.keys(value).length === known &&
    isName(device) &&
    Number.isSafeInteger(ts) &&
    (ts as number) >= 0 &&
    (ts as number) <= msMax &&
    (clock === undefined || clock === 'estimated') &&
    isRecord(values) &&
    everyMember(values, isValue) &&
    (quality === undefined || (isRecord(quality) && everyMember(quality, isQuality)))
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function everyMember(record: Record<string, unknown>, isGood: (value: unknown) => boolean): boolean {
  for (const name of Object.keys(record)) if (!isName(name) || !isGood(record[name])) return false;
  return true;
}

function isName(text: unknown): boolean {
  return typeof text === 'string' && text.length > 0 && text.length <= nameTextMax && !/\p{Cc}/u.test(text);
}

function isValue(value: unknown): boolean {
  if (typeof value === 'string') return value.length <= valueTextMax;
  return typeof value === 'boolean' || Number.isFinite(value);
}

function isQuality(value: unknown): boolean {
  return typeof value === 'string' && qualityPattern.test(value);
}
