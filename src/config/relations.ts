import type { BusConfig } from './bus-schema.ts';
import type { DeviceConfig } from './device-schema.ts';
import { pointWidth } from './point-rules.ts';
import type { SiloConfig } from './silo-schema.ts';
import type { Path } from './source.ts';

/** An element that its schema accepted, with its place in its section. */
export interface Element<T> {
  index: number;
  value: T;
}

/** What the file holds, as far as it is sound; names of unsound elements count, so that one fault stays one. */
export interface Sections {
  silos: Element<SiloConfig>[];
  buses: Element<BusConfig>[];
  devices: Element<DeviceConfig>[];
  siloNames: ReadonlySet<string>;
  busNames: ReadonlySet<string>;
}

export interface RelationFault {
  path: Path;
  /** `what is wrong; what to do`. */
  text: string;
}

/** What no single element can know: names, references, and who shares what with whom. */
export function relationFaults(sections: Sections): RelationFault[] {
  return [
    ...siloFaults(sections.silos),
    ...busFaults(sections.buses),
    ...sections.devices.flatMap((device) => deviceFaults(device, sections)),
    ...neighbourFaults(sections),
  ];
}

function siloFaults(silos: Element<SiloConfig>[]): RelationFault[] {
  return [
    ...repeated(silos, ({ name }) => name).map(({ index, value, first }) => ({
      path: ['silos', index, 'name'],
      text: `silo '${value.name}' is named twice (also silos[${first.index}]); give each its own name`,
    })),
    ...repeated(silos, ({ identity }) => identity.privateKey).map(({ index, first }) => ({
      path: ['silos', index, 'identity', 'privateKey'],
      text: `silo '${first.value.name}' has the same private key; give each silo its own: a shared key is no wall`,
    })),
    ...repeated(silos, ({ identity }) => identity.certificate).map(({ index, first }) => ({
      path: ['silos', index, 'identity', 'certificate'],
      text: `silo '${first.value.name}' has the same certificate; give each silo its own, or make them one silo`,
    })),
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
  ];
}

function lineOf(bus: BusConfig): string {
  return 'host' in bus ? `${bus.host.toLowerCase()}:${bus.port}` : bus.port;
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
  if (bus?.kind === 'serial') {
    for (const key of ['unitId', 'points', 'registersMax', 'bitsMax', 'gapMax'] as const) {
      if (device[key] !== undefined) {
        faults.push(at(`'${key}' is for Modbus, and bus '${bus.name}' is plain serial; remove it`, key));
      }
    }
  } else if (bus !== undefined) {
    faults.push(...modbusFaults(device, bus, at));
  }
  return faults;
}

type At = (text: string, ...path: Path) => RelationFault;

function modbusFaults(device: DeviceConfig, bus: BusConfig, at: At): RelationFault[] {
  const faults: RelationFault[] = [];
  if (device.unitId === undefined) {
    faults.push(at(`'unitId' is missing; write the Modbus address of '${device.name}'`));
  } else if (bus.kind !== 'modbus-tcp' && (device.unitId < 1 || device.unitId > 247)) {
    faults.push(at(`unit id ${device.unitId} does not exist on a serial line; choose 1 to 247`, 'unitId'));
  }
  if (device.profile === undefined && device.points === undefined) {
    faults.push(at(`'${device.name}' has nothing to read; give it a 'profile' or 'points'`));
  }
  const points = (device.points ?? []).map((value, index) => ({ index, value }));
  faults.push(
    ...repeated(points, ({ name }) => name).map(({ index, value }) =>
      at(`point '${value.name}' is named twice; give each its own name`, 'points', index, 'name'),
    ),
  );
  for (const { index, value } of points) {
    const { scaleFrom } = value;
    const source = points.find((each) => each.value.name === scaleFrom)?.value;
    if (scaleFrom !== undefined && (source === undefined || source === value)) {
      faults.push(
        at(
          `there is no other point '${scaleFrom}' to scale by; name one of this device`,
          'points',
          index,
          'scaleFrom',
        ),
      );
    }
    const bitTable = value.table === 'coil' || value.table === 'discrete';
    const width = pointWidth(value);
    if (!bitTable && width > (device.registersMax ?? 125)) {
      const text = `'${value.name}' takes ${width} registers and a request may ask ${device.registersMax}; raise registersMax`;
      faults.push(at(text, 'registersMax'));
    }
  }
  return faults;
}

/** Two devices may not be one by accident: one tenant would get the other's readings. */
function neighbourFaults({ devices, siloNames }: Sections): RelationFault[] {
  const only = siloNames.size === 1 ? [...siloNames][0] : undefined;
  const sameName = repeated(devices, ({ name, silo }) => `${silo ?? only} ${name}`).map(
    ({ index, value }) => ({
      path: ['devices', index, 'name'],
      text: `device '${value.name}' is named twice in its silo; give each its own name`,
    }),
  );
  const sameUnit = repeated(devices, ({ bus, unitId }) =>
    unitId === undefined ? undefined : `${bus} ${unitId}`,
  )
    .filter(({ value, first }) => !(value.sharedUnit && first.value.sharedUnit))
    .map(({ index, value, first }) => ({
      path: ['devices', index, 'unitId'],
      text: `'${first.value.name}' is unit ${value.unitId} on bus '${value.bus}' too; correct one, or write sharedUnit: true on both if they are one unit on purpose`,
    }));
  return [...sameName, ...sameUnit];
}

/** Elements whose key an earlier one has; a key of undefined never repeats. */
function repeated<T>(
  elements: readonly Element<T>[],
  keyOf: (value: T) => string | undefined,
): (Element<T> & { first: Element<T> })[] {
  const seen = new Map<string, Element<T>>();
  return elements.flatMap((element) => {
    const key = keyOf(element.value);
    if (key === undefined) return [];
    const first = seen.get(key);
    if (first === undefined) seen.set(key, element);
    return first === undefined ? [] : [{ ...element, first }];
  });
}

function listed(names: ReadonlySet<string>): string {
  return names.size === 0 ? 'none yet' : [...names].map((name) => `'${name}'`).join(', ');
}
