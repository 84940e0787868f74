import { listFaults } from './point-rules.ts';
import { driverOfBus } from '../fieldbus/drivers.ts';
import { exactJson } from '../base/exact-json.ts';
import { canonicalHost } from '../base/host.ts';
import type { BusConfig } from './bus-schema.ts';
import type { DeviceConfig } from './device-schema.ts';
import { type Element, type RelationFault, repeated } from './element.ts';
import { type CommonPaths, siloFaults } from './silo-relations.ts';
import type { SiloConfig } from './silo-schema.ts';
import type { Path } from './yaml/yaml-document.ts';

/** What the file holds, as far as it is valid; names of invalid elements count, so that one fault causes no second. */
export interface Sections {
  silos: Element<SiloConfig>[];
  buses: Element<BusConfig>[];
  devices: Element<DeviceConfig>[];
  siloNames: ReadonlySet<string>;
  busNames: ReadonlySet<string>;
  paths: CommonPaths;
}

/** Checks across elements: unique names, references, and what several elements share. */
export function relationFaults(sections: Sections): RelationFault[] {
  return [
    ...siloFaults(sections.silos, sections.paths),
    ...busFaults(sections.buses),
    ...sections.devices.flatMap((device) => deviceFaults(device, sections)),
    ...neighbourFaults(sections),
  ];
}

function busFaults(buses: Element<BusConfig>[]): RelationFault[] {
  return [
    ...repeated(buses, ({ name }) => name).map(({ index, value, first }) => ({
      path: ['buses', index, 'name'],
      text: `bus '${value.name}' is named twice (also buses[${first.index}]); give each its own name`,
    })),
    ...repeated(buses, lineOf).map(({ index, value, first }) => ({
      path: ['buses', index, 'host' in value ? 'host' : 'port'],
      text: `bus '${first.value.name}' is the same line; requests of two buses would collide, so put the devices on one`,
    })),
    ...buses.filter(isMixedUp).map(({ index }) => ({
      path: ['buses', index, 'ignoreTransactionId'],
      text: 'without transaction ids, answers to several requests in flight cannot be told apart; write pipeline: 1, or remove it',
    })),
  ];
}

function isMixedUp({ value: bus }: Element<BusConfig>): boolean {
  return bus.kind === 'modbus-tcp' && bus.ignoreTransactionId && bus.pipeline > 1;
}

function lineOf(bus: BusConfig): string {
  return 'host' in bus ? `${canonicalHost(bus.host)} ${bus.port}` : bus.port;
}

function deviceFaults({ index, value: device }: Element<DeviceConfig>, sections: Sections): RelationFault[] {
  const at = (text: string, ...path: Path): RelationFault => ({ path: ['devices', index, ...path], text });
  const faults: RelationFault[] = [];
  if (device.silo === undefined && sections.siloNames.size > 1) {
    faults.push(at(`'silo' is missing; there are several, so say whose '${device.name}' is`));
  }
  if (device.silo !== undefined && !sections.siloNames.has(device.silo)) {
    faults.push(at(`there is no silo '${device.silo}'; there is ${listed(sections.siloNames)}`, 'silo'));
  }
  if (!sections.busNames.has(device.bus)) {
    faults.push(at(`there is no bus '${device.bus}'; there is ${listed(sections.busNames)}`, 'bus'));
  }
  const bus = sections.buses.find(({ value }) => value.name === device.bus)?.value;
  if (bus !== undefined) faults.push(...fitFaults(device, bus, at));
  if (device.profile === undefined) {
    for (const key of ['settings', 'only', 'ranges'] as const) {
      if (device[key] !== undefined)
        faults.push(at(`'${key}' is for a profile; name one, or remove it`, key));
    }
  }
  return faults;
}

type At = (text: string, ...path: Path) => RelationFault;

/** The key that says what to read of a device without a profile. */
const sourceKeys = { modbus: 'points', serial: 'protocol' } as const;

const modbusKeys = ['unitId', 'points', 'registersMax', 'bitsMax', 'gapMax', 'requestGap'] as const;

const serialKeys = ['protocol', 'measureMax'] as const;

/** A device must have the keys that its bus needs, and one source of its points. */
function fitFaults(device: DeviceConfig, bus: BusConfig, at: At): RelationFault[] {
  const own = sourceKeys[driverOfBus(bus.kind).deviceKind];
  const faults: RelationFault[] = [];
  if (device.profile === undefined && device[own] === undefined) {
    faults.push(at(`'${device.name}' has nothing to read; give it a 'profile' or '${own}'`));
  }
  if (device.profile !== undefined && device[own] !== undefined) {
    faults.push(at(`'${own}' and a profile both say what to read; keep one`, own));
  }
  if (bus.kind === 'serial') {
    for (const key of modbusKeys) {
      if (device[key] === undefined) continue;
      faults.push(at(`'${key}' is for Modbus, and bus '${bus.name}' is plain serial; remove it`, key));
    }
    return faults;
  }
  for (const key of serialKeys) {
    if (device[key] === undefined) continue;
    faults.push(at(`'${key}' is for plain serial, and bus '${bus.name}' speaks Modbus; remove it`, key));
  }
  if (device.unitId === undefined) {
    faults.push(at(`'unitId' is missing; write the Modbus address of '${device.name}'`));
  } else if ('unitIdMax' in bus && (device.unitId < 1 || device.unitId > bus.unitIdMax)) {
    const range = `1 to ${bus.unitIdMax}`;
    faults.push(at(`unit id ${device.unitId} does not exist on a serial line; choose ${range}`, 'unitId'));
  }
  const listed = listFaults(device.points ?? []);
  return [...faults, ...listed.map(({ index, key, message }) => at(message, 'points', index, key))];
}

/** Two entries must not mean the same device by accident: one tenant would get the other's readings. */
function neighbourFaults({ devices, siloNames }: Sections): RelationFault[] {
  const only = siloNames.size === 1 ? [...siloNames][0] : undefined;
  const sameName = repeated(devices, ({ name, silo }) => `${silo ?? only} ${name}`).map(
    ({ index, value }) => ({
      path: ['devices', index, 'name'],
      text: `device '${value.name}' is named twice in its silo; give each its own name`,
    }),
  );
  const sameUnit = repeated(devices, unitOf)
    .filter(({ value, first }) => !(value.shared && first.value.shared))
    .map(({ index, value, first }) => ({
      path: ['devices', index, value.unitId === undefined ? 'bus' : 'unitId'],
      text: `'${first.value.name}' reads the same unit of bus '${value.bus}'; correct one, or write shared: true on both if that is on purpose`,
    }));
  return [...sameName, ...sameUnit];
}

/** What on a bus a device reads: its unit id, or on a plain serial line what it listens for. */
function unitOf({ bus, unitId, profile, settings, protocol }: DeviceConfig): string {
  return `${bus} ${unitId ?? exactJson([profile, settings, protocol])}`;
}

function listed(names: ReadonlySet<string>): string {
  return names.size === 0 ? 'none yet' : [...names].map((name) => `'${name}'`).join(', ');
}
