import type { Order, RegisterType } from '../reading/point.ts';

/** Kernel-driven RS-485 direction control (TIOCSRS485), for boards whose transceiver needs RTS turned. */
export interface Rs485Options {
  rtsOnSend: boolean;
  rtsAfterSend: boolean;
  delayBeforeSendMs: number;
  delayAfterSendMs: number;
}

export interface SerialLineOptions {
  /** `/dev/…`; a `/dev/serial/by-id/` path survives replugging under another name. */
  port: string;
  baudRate: number;
  dataBits: 7 | 8;
  parity: 'none' | 'even' | 'odd';
  stopBits: 1 | 2;
  rs485?: Rs485Options;
}

export interface EndpointOptions {
  host: string;
  port: number;
  connectTimeoutMs: number;
  /** Close the connection when idle for this long (devices with few sockets); 0: keep it. */
  idleCloseMs: number;
  /** Requests in flight at once where the device allows it; 1 is what every device takes. */
  pipeline: number;
}

interface BusBase {
  name: string;
  /** Share of bus time that devices which do not answer may cost, all together, 0 to 1. */
  deadShareMax: number;
}

export type BusOptions =
  | (BusBase & SerialLineOptions & { kind: 'modbus-rtu' })
  | (BusBase & EndpointOptions & { kind: 'modbus-tcp' })
  | (BusBase & EndpointOptions & { kind: 'modbus-rtu-over-tcp' })
  | (BusBase & SerialLineOptions & { kind: 'serial' });

export type ModbusTable = 'coil' | 'discrete' | 'input' | 'holding';

/** Raw register contents that mean "no value": they become quality `invalid`. */
export type InvalidMarker = number | bigint | 'nan' | 'all-ones' | 'int-min' | 'int-max';

export interface ModbusPointOptions {
  name: string;
  table: ModbusTable;
  /** Zero-based PDU address, 0 to 65535. */
  address: number;
  type: RegisterType;
  byteOrder: Order;
  wordOrder: Order;
  /** value = raw × scale + offset. */
  scale?: number;
  offset?: number;
  /** Name of another point of the same device whose value is the power of ten to scale by (SunSpec). */
  scaleFrom?: string;
  unit?: string;
  everyMs: number;
  /** Registers of a `string`. */
  length?: number;
  /** For `bool` in a register: which bit, 0 = least significant. */
  bit?: number;
  /** For `bits`: names by bit number; the value is the comma-joined names of the bits that are set. */
  bits?: Readonly<Record<number, string>>;
  /** Names by raw integer value. */
  enum?: Readonly<Record<number, string>>;
  invalid?: readonly InvalidMarker[];
  /** Where it is written, for faults: a line of the configuration or a profile's name. */
  place?: string;
}

/** Limits of what one request to the device may ask. */
export interface RequestLimits {
  /** Registers in one request, at most 125 (Modbus V1.1b3 §6.3). */
  registersMax: number;
  /** Coils or discrete inputs in one request, at most 2000 (§6.1). */
  bitsMax: number;
  /** Unwanted registers that a request may read along to join two wanted ones; undefined: what is cheapest. */
  gapMax?: number;
  /** Silence between two requests to this device. */
  requestGapMs: number;
}

interface DeviceBase {
  name: string;
  /** The silo's local label: the only thing the fieldbus knows about ownership. */
  silo: string;
  bus: string;
  profile?: string;
  profileSha256?: string;
  /** A free-running sensor that is silent for this long is `stale`; a polled one is read this often. */
  everyMs: number;
  responseTimeoutMs: number;
  place?: string;
}

export interface ModbusDeviceOptions extends DeviceBase {
  kind: 'modbus';
  unitId: number;
  points: readonly ModbusPointOptions[];
  limits: RequestLimits;
}

/** Where a serial frame begins and ends. */
export type Framing =
  | { by: 'line'; bytesMax: number }
  | { by: 'delimiter'; delimiter: Uint8Array; bytesMax: number }
  | { by: 'fixed-length'; start?: Uint8Array; length: number }
  | {
      by: 'length-field';
      start: Uint8Array;
      offset: number;
      size: 1 | 2;
      order: Order;
      adjust: number;
      bytesMax: number;
    }
  | {
      by: 'start-end';
      start: Uint8Array;
      end: Uint8Array /** bytes after `end` that belong to it, e.g. a CRC */;
      trailer: number;
      bytesMax: number;
    }
  | { by: 'silence'; silenceMs: number; bytesMax: number };

export type ChecksumKind =
  | 'none'
  | 'nmea-0183'
  | 'xor'
  | 'sum8'
  | 'sum16'
  | 'crc8'
  | 'crc8-maxim'
  | 'crc16-modbus'
  | 'crc16-arc'
  | 'crc16-ccitt'
  | 'crc16-xmodem';

export interface ChecksumOptions {
  kind: ChecksumKind;
  /** First byte covered; negative counts from the end of the frame. */
  from: number;
  /** One past the last byte covered; negative counts from the end. */
  to: number;
  /** Where the check itself stands; negative counts from the end. */
  at: number;
  encoding: 'binary-big' | 'binary-little' | 'hex';
}

/** One value in a serial frame. */
export interface SerialFieldOptions {
  name: string;
  unit?: string;
  type: RegisterType;
  scale?: number;
  offset?: number;
  enum?: Readonly<Record<string, string | number>>;
  /** Text of the frame that means "no value". */
  invalid?: readonly string[];
  from:
    | { by: 'group'; group: string }
    | { by: 'bytes'; at: number; byteOrder: Order; wordOrder: Order; length?: number }
    | { by: 'column'; column: number };
}

/** One kind of frame that a sensor sends. */
export interface SerialMessageOptions {
  /** Which frames: a regular expression over the frame as Latin-1 text, with named groups. */
  pattern?: RegExp;
  /** Text frames split into columns. */
  separator?: string;
  fields: readonly SerialFieldOptions[];
}

/** A dialogue step of a polled serial sensor. */
export interface SerialRequestStep {
  send: Uint8Array;
  /** Wait this long for the answer, else the device's response timeout. */
  timeoutMs?: number;
  /** Baud rate to change to after this step's bytes have left (IEC 62056-21 mode C). */
  thenBaudRate?: number;
}

/** How a serial sensor talks: declared in a profile, never in code. */
export interface SerialProtocol {
  framing: Framing;
  checksum: ChecksumOptions;
  /** Absent: the sensor sends by itself. */
  request?: readonly SerialRequestStep[];
  messages: readonly SerialMessageOptions[];
}

export interface SerialDeviceOptions extends DeviceBase {
  kind: 'serial';
  protocol: SerialProtocol;
}

export type DeviceOptions = ModbusDeviceOptions | SerialDeviceOptions;
