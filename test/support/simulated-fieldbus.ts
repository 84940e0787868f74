import { silentLogger } from '../../src/base/logger.ts';
import { type Fieldbus, type FieldbusOptions, startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { BusOptions, BusShares, ModbusDeviceOptions } from '../../src/fieldbus/options.ts';
import type { ShareEvent } from '../../src/fieldbus/sharing/silo-use.ts';
import type { Sample } from '../../src/reading/sample.ts';
import type { BusSiloStatus, DeviceStatus } from '../../src/status/status.ts';
import { RegisterImage } from '../../src/simulator/register-image.ts';
import { FakeClock } from './fake-clock.ts';
import { modbusDevice, registerPoint } from './modbus-options.ts';
import { rtuUnit, SimulatedLine } from './serial-line.ts';

type RtuBus = BusOptions & { kind: 'modbus-rtu' };

/** A bus of simulated units on a line of its baud rate, on a clock that the test sets. */
export interface SimulatedFieldbus {
  clock: FakeClock;
  line: SimulatedLine;
  /** By unit: how long it takes to answer; null: it does not. */
  answerMs: Map<number, number | null>;
  /** Every request that a unit heard. */
  asked: { unitId: number; atMs: number }[];
  samples: { silo: string; sample: Sample }[];
  events: (ShareEvent & { silo: string; atMs: number })[];
  fieldbus: Fieldbus;
  /** How often the line was opened. */
  openings: () => number;
  of: (device: string) => Sample[];
  status: (device: string) => DeviceStatus;
  silo: (name: string) => BusSiloStatus;
  /** Goes on with other devices on the same bus, or on this one. */
  reconfigure: (
    devices: readonly ModbusDeviceOptions[],
    shares?: BusShares,
    other?: BusOptions,
  ) => Promise<void>;
}

export function simulateFieldbus(
  bus: BusOptions,
  devices: readonly ModbusDeviceOptions[],
  {
    clock = new FakeClock(),
    shares,
    line: settings,
  }: { clock?: FakeClock; shares?: BusShares; line?: RtuBus } = {},
): SimulatedFieldbus {
  const line = new SimulatedLine(settings ?? (bus as RtuBus), clock);
  const answerMs = new Map<number, number | null>();
  const asked: SimulatedFieldbus['asked'] = [];
  const attach = ({ unitId }: ModbusDeviceOptions): void => {
    if (answerMs.has(unitId)) return;
    answerMs.set(unitId, 10);
    const image = imageOf(unitId);
    line.attach((frame) => {
      if (frame[0] === unitId && frame.length === 8) asked.push({ unitId, atMs: clock.monotonicMs() });
      return rtuUnit(
        unitId,
        (pdu) => image.answer(pdu),
        () => answerMs.get(unitId) ?? null,
      )(frame);
    });
  };
  for (const device of devices) attach(device);
  const samples: SimulatedFieldbus['samples'] = [];
  const events: SimulatedFieldbus['events'] = [];
  let openings = 0;
  const options = (
    bus: BusOptions,
    devices: readonly ModbusDeviceOptions[],
    shares?: BusShares,
  ): FieldbusOptions => ({
    buses: [bus],
    devices,
    ...(shares && { busShares: shares }),
  });
  const fieldbus = startFieldbus(options(bus, devices, shares), {
    clock,
    logger: silentLogger,
    openChannel: () => {
      const open = line.openChannel();
      return (...parameters) => {
        openings += 1;
        return open(...parameters);
      };
    },
    deliver: (silo, all) => samples.push(...all.map((sample) => ({ silo, sample }))),
    onShare: (silo, event) => events.push({ silo, ...event, atMs: clock.monotonicMs() }),
  });
  return {
    clock,
    line,
    answerMs,
    asked,
    samples,
    events,
    fieldbus,
    openings: () => openings,
    of: (device) => samples.filter(({ sample }) => sample.device === device).map(({ sample }) => sample),
    status: (device) => fieldbus.status()[0]!.devices.find(({ name }) => name === device)!,
    silo: (name) => fieldbus.status()[0]!.silos.find(({ silo }) => silo === name)!,
    reconfigure: (devices, shares, other = bus) => {
      for (const device of devices) attach(device);
      return fieldbus.reconfigure(options(other, devices, shares));
    },
  };
}

/**
 * What the 200 registers of a unit hold: no register of another unit holds the same, so a misassigned value shows.
 */
export function contentOf(unitId: number, address: number): number {
  return unitId * 1000 + address;
}

function imageOf(unitId: number): RegisterImage {
  const image = new RegisterImage();
  image.define('holding', 0, 200);
  for (let address = 0; address < 200; address += 1) {
    const content = contentOf(unitId, address);
    image.setRegisters('holding', address, Uint8Array.of(content >> 8, content & 0xff));
  }
  return image;
}

/** `m1`, `m2`, … with the unit ids of their numbers, and this many registers from 0 on. */
export function meters(
  count: number,
  registers: number,
  everyMs = 1000,
  {
    silo = 'north',
    prefix = 'm',
    firstUnit = 1,
  }: { silo?: string; prefix?: string; firstUnit?: number } = {},
): ModbusDeviceOptions[] {
  return Array.from({ length: count }, (_, index) =>
    modbusDevice(`${prefix}${index + 1}`, {
      silo,
      bus: 'rs485',
      unitId: firstUnit + index,
      everyMs,
      points: Array.from({ length: registers }, (_, point) =>
        registerPoint(`p${point}`, { table: 'holding', address: point, type: 'uint16', everyMs }),
      ),
    }),
  );
}
