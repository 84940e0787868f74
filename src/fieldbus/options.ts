import type { Order, RegisterType } from '../reading/point.ts';
import type { Range } from '../reading/range.ts';
import type { InvalidMarker, RegisterFormat } from '../reading/registers.ts';

export type { InvalidMarker };

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

/** What a Modbus TCP device may get wrong. */
export interface Tolerance {
  /** Takes an answer with any transaction id; only if `pipeline` is 1. */
  ignoreTransactionId?: boolean;
  /** Takes an answer with any unit id. */
  ignoreUnitId?: boolean;
}

export interface BusBase {
  name: string;
  /** Share of bus time that devices which do not answer may cost, all together, 0 to 1. */
  deadShareMax: number;
  /** Pause between opening the line or connection and the first request; undefined: none. */
  connectDelayMs?: number;
}

/** Options of a bus by its kind. */
export interface BusKinds {
  'modbus-rtu': BusBase & SerialLineOptions & { kind: 'modbus-rtu' };
  'modbus-tcp': BusBase & EndpointOptions & Tolerance & { kind: 'modbus-tcp' };
  'modbus-rtu-over-tcp': BusBase & EndpointOptions & { kind: 'modbus-rtu-over-tcp' };
  'modbus-ascii': BusBase & SerialLineOptions & { kind: 'modbus-ascii' };
  'modbus-udp': BusBase & { kind: 'modbus-udp'; host: string; port: number };
  serial: BusBase & SerialLineOptions & { kind: 'serial' };
}

export type BusOptions = BusKinds[keyof BusKinds];
export type ModbusBusOptions = Exclude<BusOptions, SerialBusOptions>;
export type SerialBusOptions = BusKinds['serial'];

/** Largest share of every bus's time for each silo's devices, above 0 to 1; a silo that is not in it has no limit. */
export type BusShares = ReadonlyMap<string, number>;

export type ModbusTable = 'coil' | 'discrete' | 'input' | 'holding';

/** `min` and `max` are in the unit of the value, after scaling. */
export interface ModbusPointOptions extends Range {
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
  /** Registers of a `string`, of `bits`, or of `int64` and `uint64`. */
  length?: number;
  /** For `int16` and `uint16`: the value is one byte of the register. */
  half?: 'high' | 'low';
  /** For signed integers: the highest bit is the sign, the rest the magnitude. */
  sign?: 'magnitude';
  /** For `bool` in a register: which bit, 0 = least significant. */
  bit?: number;
  /** For `bits`: names by bit number; the value is the comma-joined names of the bits that are set. */
  bits?: Readonly<Record<number, string>>;
  /** Names by raw integer value. */
  enum?: Readonly<Record<number, string>>;
  invalid?: readonly InvalidMarker[];
  /** Read for other points to be scaled by, and not given out. */
  internal?: true;
  /** Its source, for faults: a line of the configuration or a profile's name. */
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

/** What a device's own identification is expected to be. */
export type IdentityExpectation =
  | { oneOf: readonly (string | number)[] }
  | { matches: string }
  /** A measured value; ends included. */
  | { between: readonly [number, number] };

export type IdentityCheck = { expects: IdentityExpectation } & (
  | ({ by: 'registers' } & Pick<ModbusPointOptions, 'table' | 'address'> & RegisterFormat)
  /** An object of Read Device Identification (Modbus V1.1b3 §6.21). */
  | { by: 'object'; object: number }
);

/** Frames that tell what a sensor is. */
export interface FrameIdentity {
  /** Only this kind of device sends it. */
  pattern: string;
  /** Frames of devices that this profile does not fit. */
  others: readonly { pattern: string; is: string }[];
}

export interface DeviceBase {
  name: string;
  /** The silo's local label: the only thing the fieldbus knows about ownership. */
  silo: string;
  bus: string;
  profile?: string;
  profileSha256?: string;
  /**
   * A polled sensor is read this often; one that sends by itself gives one sample in this time, and is `stale` after
   * two.
   */
  everyMs: number;
  responseTimeoutMs: number;
  place?: string;
}

export interface ModbusDeviceOptions extends DeviceBase {
  kind: 'modbus';
  unitId: number;
  /** Empty where `discover` has to find them first. */
  points: readonly ModbusPointOptions[];
  /** Points whose addresses the device itself tells, see profile/sunspec.ts. */
  discover?: SunSpecDiscovery;
  /** Identity checks at first contact; absent: none. */
  identify?: readonly IdentityCheck[] | 'off';
  limits: RequestLimits;
}

/** A point of a SunSpec model: its address follows from where the device has that model. */
export interface SunSpecPointOptions extends Omit<ModbusPointOptions, 'address'> {
  /** Models that have it at this place. */
  models: readonly number[];
  /** Relative to the model's id register. */
  register: number;
}

export interface SunSpecDiscovery {
  /** Addresses at which the marker "SunS" may be. */
  bases: readonly number[];
  points: readonly SunSpecPointOptions[];
}

/**
 * Where a serial frame begins and ends. A `line` or `delimiter` frame comes without its end mark, every
 * other one whole, so that byte offsets and check sums count from the first byte of the frame on the line.
 */
export type Framing =
  | { by: 'line'; bytesMax: number }
  | { by: 'delimiter'; delimiter: Uint8Array; bytesMax: number }
  | { by: 'fixed-length'; start: Uint8Array; length: number }
  | {
      by: 'length-field';
      start: Uint8Array;
      /** Offset of the length field, and what to add to its value for the length of the whole frame. */
      offset: number;
      size: 1 | 2;
      order: Order;
      adjust: number;
      bytesMax: number;
    }
  | {
      by: 'start-end';
      start: Uint8Array;
      end: Uint8Array;
      /** Bytes after `end` that belong to the frame, such as a CRC. */
      trailer: number;
      bytesMax: number;
    }
  | { by: 'silence'; silenceMs: number; bytesMax: number };

export const placedChecksumKinds = [
  'xor',
  'sum8',
  'sum16',
  'crc8',
  'crc8-maxim',
  'crc16-modbus',
  'crc16-arc',
  'crc16-ccitt',
  'crc16-xmodem',
  'crc16-x25',
] as const;
export type PlacedChecksumKind = (typeof placedChecksumKinds)[number];

export const checksumEncodings = ['binary-big', 'binary-little', 'hex', 'sdi-12'] as const;
export type ChecksumEncoding = (typeof checksumEncodings)[number];

export type ChecksumOptions =
  | { kind: 'none' }
  /** `$…*hh`: between the first character and the last `*`, which every sentence must have, unless optional. */
  | { kind: 'nmea-0183' | 'nmea-0183-optional' }
  | {
      kind: PlacedChecksumKind;
      /** First byte covered; negative counts from the end of the frame. */
      from: number;
      /** One past the last byte covered; negative counts from the end. */
      to: number;
      /** Offset of the check itself; negative counts from the end. */
      at: number;
      encoding: ChecksumEncoding;
    };

/** One value in a serial frame. Patterns run over the frame as Latin-1 text (see serial/pattern.ts). */
export interface SerialFieldOptions extends Range {
  name: string;
  unit?: string;
  type: RegisterType;
  /** value = raw × scale + offset. */
  scale?: number;
  offset?: number;
  /** Values by the raw text or number. */
  enum?: Readonly<Record<string, string | number>>;
  /** Raw texts or numbers that mean "no value". */
  invalid?: readonly string[];
  /** How digits read: `degrees-minutes` is NMEA 0183's dddmm.mmmm. */
  notation: 'decimal' | 'decimal-comma' | 'hex' | 'degrees-minutes';
  /** The column or group whose text, one of `values`, turns the sign (S and W of a position). */
  negative?: ({ column: number } | { group: string }) & { values: readonly string[] };
  /** Not every model sends it: it is not missed before it has come once. */
  optional: boolean;
  from:
    | { by: 'group'; group: string }
    /** A pattern of its own; if it does not match, the frame does not mention the field. */
    | {
        by: 'pattern';
        /** Its group `value`, else its first one, is the value. */
        pattern: string;
        /** Must hold in the frame, too; `{name}` is a named group of `pattern`. */
        where?: string;
        /** The same, and must not hold. */
        unless?: string;
        /** `by`: the frame's own time is its first group; a `time` longer before that is stale. */
        dated?: { by: string; withinMs: number };
      }
    | { by: 'column'; column: number }
    | { by: 'bytes'; at: number; order: Order /** bytes, where not the type's own width */; length?: number };
}

/** One kind of frame that a sensor sends. */
export interface SerialMessageOptions {
  /** Which frames; absent: every one. */
  pattern?: string;
  /** Frames of this kind that do not match it hold no valid value (a GPS receiver without a fix). */
  validWhen?: string;
  /** Splits the frame into columns, from 0. */
  separator?: string;
  /** How often the sensor sends it, where that is rarer than the device's `everyMs`. */
  everyMs?: number;
  fields: readonly SerialFieldOptions[];
  /** Each value holds the next one within it; a frame in which it does not is of another kind of sensor. */
  descending?: { fields: readonly SerialFieldOptions[]; otherwise: string };
}

/** A step of the dialogue with a polled serial sensor. */
export interface SerialRequestStep {
  /** Latin-1 text, and named groups that earlier answers of the dialogue gave; absent: it only listens. */
  send?: readonly (string | { group: string })[];
  /** The answer that ends the step; absent: the first frame that is one of the messages. */
  expect?: string;
  /** Framing and check of this answer, if they differ from the protocol's. */
  framing?: Framing;
  checksum?: ChecksumOptions;
  /** Wait this long, or the seconds that an earlier answer's group named; else the response timeout. */
  timeout?: number | { secondsOf: string };
  /** The dialogue goes on if no answer comes. */
  optional: boolean;
  /** Baud rate to change to once the bytes have left (IEC 62056-21 mode C); the dialogue's end restores it. */
  thenBaudRate?: number | { group: string; rates: Readonly<Record<string, number>> };
}

/** How a serial sensor talks: declared in a profile or the configuration, never in code. */
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
  /** The longest measurement that it may announce; absent: a minute. */
  measureMaxMs?: number;
  /** What its frames must look like; absent: anything. */
  identify?: FrameIdentity | 'off';
}

/** Options of a device by its kind, which is that of its driver. */
export interface DeviceKinds {
  modbus: ModbusDeviceOptions;
  serial: SerialDeviceOptions;
}

export type DeviceOptions = DeviceKinds[keyof DeviceKinds];
