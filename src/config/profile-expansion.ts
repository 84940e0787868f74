import { driverOfBus } from '../fieldbus/drivers.ts';
import { MerestoneError } from '../base/error.ts';
import { type Expansion, expandProfile } from './profile/expansion.ts';
import { loadProfile, type Profile } from './profile/profile.ts';
import type { BusConfig } from './bus-schema.ts';
import type { DeviceConfig } from './device-schema.ts';
import type { RelationFault } from './element.ts';
import type { Sections } from './relations.ts';

/** The expanded profiles of the valid devices, by the device's index, and what is wrong with them. */
export interface Expansions {
  expansions: ReadonlyMap<number, Expansion>;
  faults: RelationFault[];
  /** Settings that may be unintended. */
  warnings: RelationFault[];
}

/** Reads each profile that a device names, once, and applies it to the device. */
export function expandProfiles({ devices, buses }: Sections, directories: readonly string[]): Expansions {
  const profiles = new Map<string, Profile>();
  const expansions = new Map<number, Expansion>();
  const faults: RelationFault[] = [];
  const warnings = new Map<string, RelationFault>();
  for (const { index, value: device } of devices) {
    if (device.profile === undefined) continue;
    const fault = (key: keyof DeviceConfig, text: string): void => {
      faults.push({ path: ['devices', index, key], text });
    };
    try {
      const profile = profiles.get(device.profile) ?? loadProfile(device.profile, directories);
      profiles.set(device.profile, profile);
      const bus = buses.find(({ value }) => value.name === device.bus)?.value;
      const misfit = bus && misfitOf(profile, bus);
      if (misfit) fault('profile', misfit);
      const otherLine = bus && lineWarning(profile, bus);
      const once = `${device.bus} ${device.profile}`;
      if (otherLine && !warnings.has(once)) {
        warnings.set(once, { path: ['devices', index, 'profile'], text: otherLine });
      }
      expansions.set(index, expandProfile(profile, settingsOf(device)));
    } catch (error) {
      if (!(error instanceof MerestoneError)) throw error;
      const where = error.subject === undefined ? '' : `${error.subject}: `;
      const text = `${where}${error.message}; ${error.hint ?? 'correct the profile'}`;
      fault(culprit(profiles.get(device.profile), device), text);
    }
  }
  return { expansions, faults, warnings: [...warnings.values()] };
}

/** A register map belongs to an interface; a TCP bus may still lead to a serial line through a converter. */
function misfitOf({ name, shape }: Profile, bus: BusConfig): string | undefined {
  const { deviceKind } = driverOfBus(bus.kind);
  if ((shape.interface === 'serial') !== (deviceKind === 'serial')) {
    const speaks = { modbus: 'speaks Modbus', serial: 'is plain serial' }[deviceKind];
    return `profile '${name}' is for ${shape.interface}, and bus '${bus.name}' ${speaks}; name another bus or profile`;
  }
  if (shape.interface === 'modbus-tcp' && bus.kind !== 'modbus-tcp' && bus.kind !== 'modbus-udp') {
    return `profile '${name}' is of the interface for modbus-tcp, and bus '${bus.name}' is ${bus.kind}; name the profile of the serial interface`;
  }
  return undefined;
}

/** The device may have been set to other line parameters, so this is a warning; it is the first thing to check. */
function lineWarning({ name, shape }: Profile, bus: BusConfig): string | undefined {
  if (shape.line === undefined || !('baudRate' in bus)) return undefined;
  const [own, shipped] = [formatLine({ dataBits: 8, ...bus }), formatLine(shape.line)];
  if (own === shipped) return undefined;
  return `bus '${bus.name}' is at ${own}, and what profile '${name}' reads is shipped with ${shipped}; if it does not answer, set one as the other is`;
}

interface Line {
  baudRate: number;
  dataBits: 7 | 8;
  parity: 'none' | 'even' | 'odd';
  stopBits: 1 | 2;
}

/** `9600 8N1`. */
function formatLine({ baudRate, dataBits, parity, stopBits }: Line): string {
  return `${baudRate} ${dataBits}${parity[0]!.toUpperCase()}${stopBits}`;
}

function settingsOf({ every, only, settings, ranges, identify }: DeviceConfig) {
  return {
    identify,
    ...(ranges && { ranges }),
    ...(every !== undefined && { everyMs: every }),
    ...(only && { only }),
    ...(settings && { settings }),
  };
}

/** The key that conflicts with the profile. */
function culprit(profile: Profile | undefined, device: DeviceConfig): keyof DeviceConfig {
  const optional = ['settings', 'only', 'ranges'] as const;
  if (profile === undefined) return 'profile';
  return (
    optional.find((key) => device[key] && expands(profile, { ...device, [key]: undefined })) ?? 'profile'
  );
}

function expands(profile: Profile, device: DeviceConfig): boolean {
  try {
    expandProfile(profile, settingsOf(device));
    return true;
  } catch {
    return false;
  }
}
