import type { DeviceOptions, ModbusPointOptions } from '../fieldbus/options.ts';
import type { Expansion } from './profile/expansion.ts';
import { defined } from './profile/protocol-schema.ts';
import { registerCount } from '../reading/registers.ts';
import type { DeviceConfig, PointConfig } from './device-schema.ts';

/** A meter's own display refreshes once a second. */
const everyMsDefault = 1000;
const responseTimeoutMsDefault = 1000;
/** The most that Modbus allows in one request (V1.1b3 §6.1 and §6.3). */
const registersMaxDefault = 125;
const bitsMaxDefault = 2000;

export interface DeviceSurroundings {
  silo: string;
  /** Options from the device's profile; undefined if it has none. */
  expansion: Expansion | undefined;
  /** `FILE:LINE:COLUMN` of the device, or of one of its points. */
  placeOf: (point?: number) => string;
}

/** A sound device of the file → its options. The file takes precedence over the profile. */
export function deviceOptions(
  device: DeviceConfig,
  { silo, expansion, placeOf }: DeviceSurroundings,
): DeviceOptions {
  const everyMs = device.every ?? expansion?.everyMs ?? everyMsDefault;
  const common = {
    name: device.name,
    silo,
    bus: device.bus,
    everyMs,
    responseTimeoutMs: device.responseTimeout ?? expansion?.responseTimeoutMs ?? responseTimeoutMsDefault,
    place: placeOf(),
    ...(expansion && { profile: expansion.profile, profileSha256: expansion.profileSha256 }),
  };
  const serial = {
    ...common,
    kind: 'serial',
    ...(device.measureMax !== undefined && { measureMaxMs: device.measureMax }),
  } as const;
  if (expansion?.kind === 'serial') {
    const { protocol, identify } = expansion;
    return { ...serial, protocol, ...(identify && { identify }) };
  }
  if (device.protocol !== undefined) return { ...serial, protocol: device.protocol };
  const limits = expansion?.limits;
  const gapMax = device.gapMax ?? limits?.gapMax;
  return {
    ...common,
    kind: 'modbus',
    unitId: device.unitId!,
    points:
      expansion?.points ??
      (device.points ?? []).map((point, index) => pointOptions(point, everyMs, placeOf(index))),
    ...(expansion?.discover && { discover: expansion.discover }),
    ...(expansion?.identify && { identify: expansion.identify }),
    limits: {
      registersMax: device.registersMax ?? limits?.registersMax ?? registersMaxDefault,
      bitsMax: device.bitsMax ?? limits?.bitsMax ?? bitsMaxDefault,
      ...(gapMax !== undefined && { gapMax }),
      requestGapMs: device.requestGap ?? limits?.requestGapMs ?? 0,
    },
  };
}

/** A point too wide for one request to this device. */
export function widthFault(device: DeviceOptions): string | undefined {
  if (device.kind !== 'modbus') return undefined;
  const { points, discover, limits } = device;
  const wide = [...points, ...(discover?.points ?? [])].find(
    (point) => registerCount(point) > limits.registersMax,
  );
  return (
    wide &&
    `'${wide.name}' takes ${registerCount(wide)} registers, and a request may ask ${limits.registersMax}; raise registersMax`
  );
}

function pointOptions(point: PointConfig, everyMs: number, place: string): ModbusPointOptions {
  const { every, type, ...same } = point;
  return {
    ...defined(same),
    type: type ?? 'bool',
    everyMs: every ?? everyMs,
    place,
  };
}
