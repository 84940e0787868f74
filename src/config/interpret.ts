import path from 'node:path';
import type { BusOptions, DeviceOptions, InvalidMarker, ModbusPointOptions } from '../fieldbus/options.ts';
import type { SiloOptions } from '../silo/options.ts';
import type { BusConfig } from './bus-schema.ts';
import type { DeviceConfig, PointConfig } from './device-schema.ts';
import type { GatewayOptions } from './options.ts';
import type { Config } from './schema.ts';
import type { SiloConfig } from './silo-schema.ts';

/** What is not said otherwise: once a second is what a meter's display does too. */
const everyMsDefault = 1000;
/** The most that Modbus allows in one request (V1.1b3 §6.1 and §6.3). */
const registersMaxDefault = 125;
const bitsMaxDefault = 2000;

/** A sound configuration → the options of each room. `placeOf` says where a device or point is written. */
export function interpret(
  file: string,
  config: Config,
  placeOf: (device: number, point?: number) => string,
): GatewayOptions {
  const resolve = (text: string): string => path.resolve(path.dirname(file), text);
  const stateDir = resolve(config.stateDir);
  const onlySilo = config.silos[0]!.name;
  return {
    file,
    stateDir,
    control: { socket: resolve(config.control.socket) },
    ...(config.http && { http: config.http.listen }),
    silos: config.silos.map((silo) => siloOptions(silo, stateDir, resolve)),
    buses: config.buses.map(busOptions),
    devices: config.devices.map((device, index) =>
      deviceOptions(device, device.silo ?? onlySilo, (point) => placeOf(index, point)),
    ),
  };
}

function siloOptions(silo: SiloConfig, stateDir: string, resolve: (text: string) => string): SiloOptions {
  const { identity, uplink, batch, spool, quota } = silo;
  const { hostname, port } = new URL(uplink.url);
  const { backlogBytesPerSecond } = uplink;
  return {
    name: silo.name,
    identity: {
      certificate: resolve(identity.certificate),
      privateKey: resolve(identity.privateKey),
      trust: resolve(identity.trust),
    },
    uplink: {
      url: `mqtts://${hostname}:${port === '' ? 8883 : port}`,
      ca: resolve(uplink.ca),
      protocol: uplink.protocol === '3.1.1' ? '3.1.1' : '5',
      encoding: uplink.encoding,
      compression: uplink.compression,
      noSubscribers: uplink.noSubscribers,
      order: uplink.order,
      inflightMax: uplink.inflightMax,
      ...(backlogBytesPerSecond !== undefined && { backlogBytesPerSecond }),
      keepaliveSeconds: Math.round(uplink.keepalive / 1000),
    },
    batch: { lingerMs: batch.linger, samplesMax: batch.samplesMax, bytesMax: batch.bytesMax },
    spool: {
      directory: path.join(stateDir, 'silos', silo.name),
      bytesMax: spool.bytesMax,
      whenFull: spool.whenFull,
      keyPeriodMs: spool.keyPeriod,
    },
    quota: defined(quota),
    memoryMbMax: Math.round(silo.memoryMax / 1e6),
  };
}

function busOptions(bus: BusConfig): BusOptions {
  const { name, deadShareMax } = bus;
  switch (bus.kind) {
    case 'modbus-rtu':
      return { name, deadShareMax, kind: bus.kind, ...serialLine(bus, 8) };
    case 'serial':
      return { name, deadShareMax, kind: bus.kind, ...serialLine(bus, bus.dataBits) };
    case 'modbus-tcp':
      return { name, deadShareMax, kind: bus.kind, ...endpoint(bus), pipeline: bus.pipeline };
    case 'modbus-rtu-over-tcp':
      // Without a transaction id, a second request in flight could take the first one's answer.
      return { name, deadShareMax, kind: bus.kind, ...endpoint(bus), pipeline: 1 };
  }
}

function serialLine(bus: Extract<BusConfig, { baudRate: number }>, dataBits: 7 | 8) {
  const { port, baudRate, parity, stopBits, rs485 } = bus;
  return {
    port,
    baudRate,
    dataBits,
    parity,
    stopBits,
    ...(rs485 && {
      rs485: {
        rtsOnSend: rs485.rtsOnSend,
        rtsAfterSend: rs485.rtsAfterSend,
        delayBeforeSendMs: rs485.delayBeforeSend,
        delayAfterSendMs: rs485.delayAfterSend,
      },
    }),
  };
}

function endpoint(bus: Extract<BusConfig, { host: string }>) {
  return {
    host: bus.host,
    port: bus.port,
    connectTimeoutMs: bus.connectTimeout,
    idleCloseMs: bus.idleClose,
  };
}

function deviceOptions(
  device: DeviceConfig,
  silo: string,
  placeOf: (point?: number) => string,
): DeviceOptions {
  const everyMs = device.every ?? everyMsDefault;
  return {
    kind: 'modbus',
    name: device.name,
    silo,
    bus: device.bus,
    unitId: device.unitId!,
    everyMs,
    responseTimeoutMs: device.responseTimeout,
    place: placeOf(),
    points: (device.points ?? []).map((point, index) => pointOptions(point, everyMs, placeOf(index))),
    limits: {
      registersMax: device.registersMax ?? registersMaxDefault,
      bitsMax: device.bitsMax ?? bitsMaxDefault,
      ...(device.gapMax !== undefined && { gapMax: device.gapMax }),
      requestGapMs: device.requestGap,
    },
  };
}

function pointOptions(point: PointConfig, everyMs: number, place: string): ModbusPointOptions {
  const { every, type, invalid, ...same } = point;
  return {
    ...defined(same),
    type: type ?? 'bool',
    everyMs: every ?? everyMs,
    ...(invalid !== undefined && { invalid: [invalid].flat().map(markerOf) }),
    place,
  };
}

function markerOf(marker: number | string): InvalidMarker {
  if (typeof marker === 'number') return marker;
  return /^(-?\d|0x)/.test(marker) ? BigInt(marker) : (marker as InvalidMarker);
}

/** The same without the keys that hold undefined: an option that is not given is not there. */
function defined<T extends object>(
  value: T,
): { [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key] } & {
  [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined>;
} {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as ReturnType<
    typeof defined<T>
  >;
}
