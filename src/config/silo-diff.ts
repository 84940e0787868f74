import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { exactJson } from '../base/exact-json.ts';
import type { GatewayOptions } from './options.ts';
import { withoutPlaces } from '../fieldbus/drivers.ts';
import type { DeviceOptions } from '../fieldbus/options.ts';
import type { SiloOptions } from '../silo/options.ts';

/** What the configuration says of one silo: itself and its devices, and nothing of another silo. */
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

/** Hex SHA-256 of the empty string: the hash for a silo that was taken out of the configuration. */
export const digestOfNothing = createHash('sha256').digest('hex');

type Path = readonly string[];

/**
 * What differs, as paths of configuration keys, such as `quota.samplesPerSecond` or `devices.boiler.every`;
 * never a value. Empty if nothing differs.
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
  // Without `keyDir` the keys move with the state folder; that is reported once.
  if (words.has('stateDir')) words.delete('spool.keyDir');
  return [...words];
}

/** A point without an interval has its device's: the change is reported once, for the device. */
function asWritten(device: DeviceOptions): unknown {
  if (!('points' in device)) return device;
  const points = device.points.map(({ everyMs, ...point }) =>
    everyMs === device.everyMs ? point : { ...point, everyMs },
  );
  return { ...device, points };
}

/** The keys that a profile fills in: a change of profile is not reported again key by key. */
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

/** Options have units in their names and groups of their own; the file's keys have neither. */
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
