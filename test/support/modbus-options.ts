import type { BusOptions, ModbusDeviceOptions, ModbusPointOptions } from '../../src/fieldbus/options.ts';

/** A point as configuration would hand it over, with defaults. */
export function registerPoint(
  name: string,
  options: Pick<ModbusPointOptions, 'table' | 'address' | 'type'> & Partial<ModbusPointOptions>,
): ModbusPointOptions {
  return { name, byteOrder: 'big', wordOrder: 'big', everyMs: 1000, ...options };
}

export function modbusDevice(
  name: string,
  options: Pick<ModbusDeviceOptions, 'bus' | 'unitId' | 'points'> & Partial<ModbusDeviceOptions>,
): ModbusDeviceOptions {
  const limits = { registersMax: 125, bitsMax: 2000, requestGapMs: 0 };
  return { kind: 'modbus', name, silo: 'north', everyMs: 1000, responseTimeoutMs: 1000, limits, ...options };
}

export function tcpBus(
  port: number,
  options: { name?: string; pipeline?: number; idleCloseMs?: number } = {},
): BusOptions & { kind: 'modbus-tcp' } {
  const { name = 'plant', pipeline = 1, idleCloseMs = 0 } = options;
  const host = '127.0.0.1';
  return {
    kind: 'modbus-tcp',
    name,
    host,
    port,
    connectTimeoutMs: 2000,
    idleCloseMs,
    pipeline,
    deadShareMax: 0.1,
  };
}

export function rtuBus(
  port: string,
  options: { name?: string; baudRate?: number } = {},
): BusOptions & { kind: 'modbus-rtu' } {
  const { name = 'rs485', baudRate = 19_200 } = options;
  return {
    kind: 'modbus-rtu',
    name,
    port,
    baudRate,
    dataBits: 8,
    parity: 'none',
    stopBits: 1,
    deadShareMax: 0.1,
  };
}
