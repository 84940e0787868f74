import { MerestoneError } from '../../base/error.ts';
import { nearestName } from '../../base/nearest-name.ts';
import type { ModbusDeviceOptions, ModbusPointOptions, SerialDeviceOptions } from '../../fieldbus/options.ts';
import { compilePattern } from '../../fieldbus/serial/pattern.ts';
import { frameIdentity, identityChecks } from './identity-checks.ts';
import type { PointShape } from './modbus-schema.ts';
import { defaultSettings, withSettings } from './profile.ts';
import type { Profile } from './profile.ts';
import { defined, protocolSchema } from './protocol-schema.ts';
import type { Ranges } from './range-schema.ts';
import { strayRanges, withRange } from './profile-ranges.ts';
import type { ProfileShape } from './profile-schema.ts';

/** What a device of the configuration says beside the name of its profile. */
export interface DeviceSettings {
  everyMs?: number;
  /** Names of the points to read; absent: all. */
  only?: readonly string[];
  /** Values for the profile's own settings. */
  settings?: Readonly<Record<string, string | number>>;
  /** Plausible ranges, by point or unit; they take precedence over the profile's. */
  ranges?: Ranges;
  /** Absent: it is asked what it is. */
  identify?: 'on' | 'off';
}

/** The part of a device's options that comes out of its profile. */
export type Expansion = {
  profile: string;
  profileSha256: string;
  everyMs: number;
  responseTimeoutMs?: number;
} & (
  | Pick<ModbusDeviceOptions, 'kind' | 'points' | 'discover' | 'identify' | 'limits'>
  | Pick<SerialDeviceOptions, 'kind' | 'identify' | 'protocol'>
);

/** Throws ProfileInvalid for a setting or point that the profile doesn't have. */
export function expandProfile(profile: Profile, device: DeviceSettings): Expansion {
  const { shape, name, sha256 } = profile;
  const everyMs = device.everyMs ?? shape.every;
  const { responseTimeout } = shape;
  const base = {
    profile: name,
    profileSha256: sha256,
    everyMs,
    ...(responseTimeout !== undefined && { responseTimeoutMs: responseTimeout }),
  };
  const settings = settingsOf(profile, device.settings ?? {});
  const isAsked = device.identify !== 'off';
  if (shape.protocol !== undefined) {
    const identify = isAsked ? frameIdentity(shape, settings) : 'off';
    const protocol = protocolOf(profile, settings, device);
    return { ...base, kind: 'serial', protocol, ...(identify && { identify }) };
  }
  const { requestGap, ...limits } = shape.limits;
  const points = rangedPoints(profile, wantedPoints(profile, shape.points ?? [], device.only), device.ranges);
  return {
    ...base,
    kind: 'modbus',
    limits: { ...defined(limits), requestGapMs: requestGap },
    // A SunSpec device is asked what it is by the walk that finds its points.
    ...(isAsked ? shape.sunspec === undefined && { identify: identityChecks(shape) } : { identify: 'off' }),
    ...(shape.sunspec === undefined
      ? {
          points: points.map((point) => ({
            ...pointOf(point, shape, everyMs, name),
            address: point.address!,
          })),
        }
      : { points: [], discover: discoveryOf(shape.sunspec.bases, points, shape, everyMs, name) }),
  };
}

function rangedPoints(
  profile: Profile,
  points: readonly PointShape[],
  own: Ranges | undefined,
): readonly PointShape[] {
  const { shape } = profile;
  checkRanges(profile, own, shape.points ?? []);
  const defaultType = shape.pointDefaults.type ?? 'bool';
  return points.map(({ type, ...point }) => ({
    ...withRange({ ...point, type: type ?? defaultType }, own, shape.ranges),
    type,
  }));
}

function discoveryOf(
  bases: readonly number[],
  points: readonly PointShape[],
  shape: ProfileShape,
  everyMs: number,
  name: string,
): NonNullable<ModbusDeviceOptions['discover']> {
  return {
    bases,
    points: points.map((point) => ({
      ...pointOf(point, shape, everyMs, name),
      models: point.model!,
      register: point.register!,
    })),
  };
}

function pointOf(
  point: PointShape,
  { pointDefaults, classes }: ProfileShape,
  everyMs: number,
  name: string,
): Omit<ModbusPointOptions, 'address'> {
  const { model: _model, register: _register, address: _address, ...own } = point;
  const { class: pointClass = 'fast', ...format } = { ...defined(pointDefaults), ...defined(own) };
  const { table = 'holding', type = 'bool' } = format; // a coil or discrete input is one bit
  return {
    byteOrder: 'big',
    wordOrder: 'big',
    ...format,
    type,
    table,
    everyMs: pointClass === 'fast' ? everyMs : Math.max(everyMs, classes[pointClass]),
    place: `profile ${name}`,
  };
}

/** Those that were asked for, and those whose value is their power of ten. */
function wantedPoints(
  profile: Profile,
  points: readonly PointShape[],
  only?: readonly string[],
): readonly PointShape[] {
  if (only === undefined) return points;
  checkNames(
    profile,
    only,
    points.map(({ name }) => name),
  );
  const factors = new Set(points.filter(({ name }) => only.includes(name)).map(({ scaleFrom }) => scaleFrom));
  return points.filter(({ name }) => only.includes(name) || factors.has(name));
}

function protocolOf(
  profile: Profile,
  settings: Readonly<Record<string, string>>,
  { only, ranges }: DeviceSettings,
): SerialDeviceOptions['protocol'] {
  const parsed = protocolSchema.safeParse(withSettings(profile.shape.protocol, settings));
  if (!parsed.success) {
    const reason = parsed.error.issues[0]!.message;
    throw refuse(
      profile,
      `its protocol makes no sense with these settings: ${reason}`,
      'correct the settings',
    );
  }
  const fields = parsed.data.messages.flatMap((message) => message.fields);
  checkRanges(profile, ranges, fields);
  if (only !== undefined)
    checkNames(
      profile,
      only,
      fields.map(({ name }) => name),
    );
  const messages = parsed.data.messages.map((message) => ({
    ...message,
    fields: message.fields
      .filter(({ name }) => only?.includes(name) ?? true)
      .map((field) => withRange(field, ranges, profile.shape.ranges)),
  }));
  return { ...parsed.data, messages };
}

function settingsOf(
  profile: Profile,
  given: Readonly<Record<string, string | number>>,
): Record<string, string> {
  const known = profile.shape.settings ?? {};
  const settings = defaultSettings(profile.shape);
  for (const [name, value] of Object.entries(given)) {
    const setting = Object.hasOwn(known, name) ? known[name] : undefined;
    if (setting === undefined) {
      throw refuse(profile, `has no setting '${name}'`, `it has ${Object.keys(known).join(', ') || 'none'}`);
    }
    if (compilePattern(`^(?:${setting.pattern})$`).match(Buffer.from(String(value), 'latin1')) === null) {
      throw refuse(profile, `cannot take '${value}' as ${name}`, `write ${setting.description}`);
    }
    settings[name] = String(value);
  }
  return settings;
}

function checkNames(profile: Profile, wanted: readonly string[], known: readonly string[]): void {
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const meant = nearestName(unknown, known);
  throw refuse(
    profile,
    `has no point '${unknown}'`,
    meant ? `did you mean '${meant}'?` : `it has ${known.join(', ')}`,
  );
}

function checkRanges(
  profile: Profile,
  ranges: Ranges | undefined,
  points: readonly { name: string; unit?: string | undefined }[],
): void {
  const [stray] = strayRanges(ranges, points, 'name or unit');
  if (stray === undefined) return;
  const units = [...new Set(points.flatMap(({ unit }) => unit ?? []))];
  throw refuse(
    profile,
    `has no point and no unit '${stray}'`,
    `its units are ${units.join(' ') || 'none'}, its points ${points.map(({ name }) => name).join(', ')}`,
  );
}

function refuse({ name }: Profile, message: string, hint: string): MerestoneError {
  return new MerestoneError('ProfileInvalid', message, { subject: `profile ${name}`, hint });
}
