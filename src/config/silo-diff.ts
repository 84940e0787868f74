import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { exactJson } from '../base/exact-json.ts';
import type { GatewayOptions } from './options.ts';
import { withoutPlaces } from '../fieldbus/drivers.ts';
import type { DeviceOptions } from '../fieldbus/options.ts';
import type { SiloOptions } from '../silo/options.ts';

/** What the configuration says of one silo: itself and its devices, and nothing of anybody else's. */
export interface OwnPart {
  silo: SiloOptions;
  devices: readonly DeviceOptions[];
}

export function ownPart(name: string, { silos, devices }: GatewayOptions): OwnPart {
  const silo = silos.find((each) => each.name === name)!;
  return { silo, devices: devices.filter((device) => device.silo === name).map(withoutPlaces) };
}

/** SHA-256, hex. */
export function digestOf(part: OwnPart): string {
  return createHash('sha256').update(exactJson(part)).digest('hex');
}

/** Hex SHA-256 of nothing: what a silo that is taken out of the configuration has left of it. */
export const digestOfNothing = createHash('sha256').digest('hex');

type Path = readonly string[];

/**
 * What differs, as paths of configuration keys, such as `quota.samplesPerSecond` or `devices.boiler.every`;
 * never a value. Empty where nothing does.
 */
export function changedKeys(before: OwnPart, after: OwnPart): string[] {
  const paths = [
    ...differences(before.silo, after.silo, []),
    ...differences(before.devices.map(asWritten), after.devices.map(asWritten), ['devices']),
  ];
  const reprofiled = new Set(
    paths.filter(([, , key]) => key === 'profile' || key === 'profileSha256').map(([, name]) => name),
  );
  const told = paths.filter(([, name, key]) => !(reprofiled.has(name) && followsProfile.has(key ?? '')));
  const words = new Set(told.map(textOf));
  // The keys follow the state folder where they have no place of their own; then it is told once.
  if (words.has('stateDir')) words.delete('spool.keyDir');
  return [...words];
}

/** A point's interval is its device's where it has none of its own: it is told once. */
function asWritten(device: DeviceOptions): unknown {
  if (!('points' in device)) return device;
  const points = device.points.map(({ everyMs, ...point }) =>
    everyMs === device.everyMs ? point : { ...point, everyMs },
  );
  return { ...device, points };
}

/** What a profile fills in: where the profile is another, it is not told again key by key. */
const followsProfile = new Set(['points', 'protocol', 'discover', 'identify']);

function* differences(before: unknown, after: unknown, path: Path): Generator<Path> {
  if (isDeepStrictEqual(before, after)) return;
  if (isRecord(before) && isRecord(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      yield* differences(before[key], after[key], [...path, key]);
    }
  } else if (isNamedList(before) && isNamedList(after)) {
    yield* listDifferences(before, after, path);
  } else {
    yield path;
  }
}

interface Named {
  name: string;
}

function* listDifferences(before: readonly Named[], after: readonly Named[], path: Path): Generator<Path> {
  const [was, is] = [before, after].map((list) => new Map(list.map((each) => [each.name, each])));
  let isOrderAlone = true;
  for (const name of new Set([...was!.keys(), ...is!.keys()])) {
    for (const difference of differences(was!.get(name), is!.get(name), [...path, name])) {
      isOrderAlone = false;
      yield difference;
    }
  }
  if (isOrderAlone) yield path;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

function isNamedList(value: unknown): value is Named[] {
  return Array.isArray(value) && value.every((each) => isRecord(each) && typeof each['name'] === 'string');
}

/** Options carry their unit in the name and stand in groups of our own; the file's keys do neither. */
const keyOf: Readonly<Record<string, string>> = {
  memoryMbMax: 'memoryMax',
  keyDirectory: 'spool.keyDir',
  profileSha256: 'profile',
  'spool.directory': 'stateDir',
  'isolation.kind': 'isolation',
  'isolation.socket': 'socket',
};

function textOf(path: Path): string {
  const joined = path.join('.');
  if (keyOf[joined] !== undefined) return keyOf[joined];
  return path
    .filter((key) => key !== 'limits')
    .map((key) => keyOf[key] ?? key.replace(/(?<=[a-z])(?:Ms|Seconds)$/, ''))
    .join('.');
}
