import path from 'node:path';
import { formatAuthority, parseBrokerUrl } from '../base/broker-url.ts';
import { ownSiloFolders, type SiloFolders, siloFoldersIn } from '../base/state-folder.ts';
import type { BusOptions, DeviceOptions } from '../fieldbus/options.ts';
import { defined } from './profile/protocol-schema.ts';
import type { IsolationOptions, SiloOptions } from '../silo/options.ts';
import type { BusConfig } from './bus-schema.ts';
import type { GatewayOptions } from './options.ts';
import type { Config } from './config-schema.ts';
import type { SiloConfig } from './silo-schema.ts';

/** A sound configuration, its devices interpreted already → the options of each room. */
export function interpret(file: string, config: Config, devices: readonly DeviceOptions[]): GatewayOptions {
  const resolve = (text: string): string => path.resolve(path.dirname(file), text);
  const stateDir = resolve(config.stateDir);
  return {
    file,
    stateDir,
    control: { socket: resolve(config.control.socket) },
    ...(config.http && { http: httpOptions(config.http.listen, resolve) }),
    silos: config.silos.map((silo) => siloOptions(silo, stateDir, resolve)),
    buses: config.buses.map((bus) => busOptions(bus, resolve)),
    devices,
  };
}

/** The folder of all that a silo keeps over a restart; absolute. */
export function siloDirectory(
  { name, stateDir: own }: Pick<SiloConfig, 'name' | 'stateDir'>,
  stateDir: string,
  resolve: (text: string) => string,
): string {
  return siloFolders(name, own, stateDir, resolve).spools;
}

/** Of its key-encryption key: never in a folder that holds a spool. */
export function keyDirectory(
  { name, stateDir: own, spool }: Pick<SiloConfig, 'name' | 'stateDir' | 'spool'>,
  stateDir: string,
  resolve: (text: string) => string,
): string {
  if (spool.keyDir !== undefined) return resolve(spool.keyDir);
  return siloFolders(name, own, stateDir, resolve).keys;
}

function siloFolders(
  name: string,
  own: string | undefined,
  stateDir: string,
  resolve: (text: string) => string,
): SiloFolders {
  return own === undefined ? siloFoldersIn(stateDir, name) : ownSiloFolders(resolve(own));
}

function siloOptions(silo: SiloConfig, stateDir: string, resolve: (text: string) => string): SiloOptions {
  const { identity, uplink, batch, spool, quota } = silo;
  const { alpn, backlogBytesPerSecond } = uplink;
  return {
    name: silo.name,
    identity: {
      certificate: resolve(identity.certificate),
      privateKey: resolve(identity.privateKey),
      trust: resolve(identity.trust),
    },
    uplink: {
      url: Array.isArray(uplink.url) ? uplink.url.map(brokerUrl) : brokerUrl(uplink.url),
      ca: resolve(uplink.ca),
      ...(alpn !== undefined && { alpn }),
      protocol: uplink.protocol === '3.1.1' ? '3.1.1' : '5',
      encoding: uplink.encoding,
      compression: uplink.compression,
      noSubscribers: uplink.noSubscribers,
      order: uplink.order,
      inflightMax: uplink.inflightMax,
      ...(backlogBytesPerSecond !== undefined && { backlogBytesPerSecond }),
      keepaliveSeconds: Math.round(uplink.keepalive / 1000),
    },
    checkpoint: { everyMs: uplink.checkpoint.every, shareMax: uplink.checkpoint.share },
    batch: { lingerMs: batch.linger, samplesMax: batch.samplesMax, bytesMax: batch.bytesMax },
    spool: {
      directory: siloDirectory(silo, stateDir, resolve),
      bytesMax: spool.bytesMax,
      whenFull: spool.whenFull,
      keyPeriodMs: spool.keyPeriod,
    },
    keyDirectory: keyDirectory(silo, stateDir, resolve),
    quota: defined(quota),
    memoryMbMax: Math.round(silo.memoryMax / 1e6),
    isolation: isolationOptions(silo, resolve),
  };
}

/** The same with its port. The schema has refused anything else. */
function brokerUrl(text: string): string {
  const address = parseBrokerUrl(text);
  return 'fault' in address ? text : `mqtts://${formatAuthority(address)}`;
}

function httpOptions(
  listen: NonNullable<Config['http']>['listen'],
  resolve: (text: string) => string,
): GatewayOptions['http'] & object {
  return 'socket' in listen ? { socket: resolve(listen.socket) } : listen;
}

function isolationOptions(
  { isolation, socket }: SiloConfig,
  resolve: (text: string) => string,
): IsolationOptions {
  if (isolation === 'thread') return { kind: 'thread' };
  return { kind: 'process', ...(socket !== undefined && { socket: resolve(socket) }) };
}

function busOptions(bus: BusConfig, resolve: (text: string) => string): BusOptions {
  const { name, deadShareMax, connectDelay } = bus;
  const common = { name, deadShareMax, ...(connectDelay > 0 && { connectDelayMs: connectDelay }) };
  switch (bus.kind) {
    case 'modbus-rtu':
      return { ...common, kind: bus.kind, ...serialLine(bus, 8, resolve) };
    case 'modbus-ascii':
    case 'serial':
      return { ...common, kind: bus.kind, ...serialLine(bus, bus.dataBits, resolve) };
    case 'modbus-tcp': {
      const { pipeline, ignoreTransactionId, ignoreUnitId } = bus;
      const tolerance = {
        ...(ignoreTransactionId && { ignoreTransactionId }),
        ...(ignoreUnitId && { ignoreUnitId }),
      };
      return { ...common, kind: bus.kind, ...endpoint(bus), pipeline, ...tolerance };
    }
    case 'modbus-udp':
      return { ...common, kind: bus.kind, host: bus.host, port: bus.port };
    case 'modbus-rtu-over-tcp':
      // Without a transaction id, a second request in flight could take the first one's answer.
      return { ...common, kind: bus.kind, ...endpoint(bus), pipeline: 1 };
  }
}

function serialLine(
  bus: Extract<BusConfig, { baudRate: number }>,
  dataBits: 7 | 8,
  resolve: (text: string) => string,
) {
  const { port, baudRate, parity, stopBits } = bus;
  const rs485 = 'rs485' in bus ? bus.rs485 : undefined;
  return {
    port: resolve(port),
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

function endpoint(bus: Extract<BusConfig, { connectTimeout: number }>) {
  return {
    host: bus.host,
    port: bus.port,
    connectTimeoutMs: bus.connectTimeout,
    idleCloseMs: bus.idleClose,
  };
}
