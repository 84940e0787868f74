import { registerCount } from '../../reading/registers.ts';
import type { Value } from '../../reading/sample.ts';
import type { IdentityCheck } from '../options.ts';
import { compilePattern } from '../serial/pattern.ts';
import { parseObjects } from './identification.ts';
import { functionCodes, type Request } from './pdu.ts';
import { pointReader } from './point-reader.ts';

/** Result of a check: the expected device, another one, or inconclusive. */
export type Finding = { kind: 'fits' | 'silent' } | { kind: 'contradicts'; says: string };

/** Exactly the registers of the check: some devices answer for them only if they are read alone. */
export function requestOf(check: IdentityCheck): Request {
  if (check.by === 'object') return { functionCode: 43, readCode: 1, objectId: check.object };
  const { table, address } = check;
  const isBit = table === 'coil' || table === 'discrete';
  return { functionCode: functionCodes[table], address, quantity: isBit ? 1 : registerCount(check) };
}

/** Takes the data of an answer to the check's request. */
export function findingOf(check: IdentityCheck, data: Uint8Array): Finding {
  const value = valueOf(check, data);
  if (value === undefined || value === '') return { kind: 'silent' };
  if (fits(check, value)) return { kind: 'fits' };
  return { kind: 'contradicts', says: `${placeOf(check)} is ${shown(value)}, not ${expectationOf(check)}` };
}

function valueOf(check: IdentityCheck, data: Uint8Array): Value | undefined {
  if (check.by === 'object') return parseObjects(data).objects.get(check.object)?.trim();
  return pointReader({ name: '', everyMs: 0, ...check })(data, check.address);
}

function fits({ expects }: IdentityCheck, value: Value): boolean {
  if ('oneOf' in expects) return expects.oneOf.some((each) => each === value);
  if ('matches' in expects)
    return compilePattern(expects.matches).match(Buffer.from(String(value), 'latin1')) !== null;
  const [low, high] = expects.between;
  return typeof value === 'number' && value >= low && value <= high;
}

function placeOf(check: IdentityCheck): string {
  return check.by === 'object' ? objectNames[check.object]! : `${check.table} ${check.address}`;
}

/** A reason stays on one line: limits of the expected values and of the characters of a device's answer. */
const shownMax = 6;
const textMax = 40;

/** Modbus V1.1b3 §6.21. */
const objectNames = [
  'its vendor',
  'its product code',
  'its revision',
  'its vendor’s address',
  'its product',
  'its model',
  'its application',
];

function expectationOf({ expects }: IdentityCheck): string {
  if ('between' in expects) return `${expects.between[0]} to ${expects.between[1]}`;
  if ('matches' in expects) return `/${expects.matches}/`;
  const { oneOf } = expects;
  const some = oneOf.slice(0, shownMax).map(shown).join(', ');
  return oneOf.length > shownMax ? `${some} or ${oneOf.length - shownMax} others` : some;
}

function shown(value: Value): string {
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > textMax ? `${value.slice(0, textMax)}…` : value);
}
