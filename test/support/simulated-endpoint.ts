import { createLogger, type LogRecord } from '../../src/base/logger.ts';
import { type Fieldbus, startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { BusOptions, ModbusDeviceOptions } from '../../src/fieldbus/options.ts';
import type { Channel, OpenChannel } from '../../src/fieldbus/port/port.ts';
import type { Sample } from '../../src/reading/sample.ts';
import type { BusStatus, DeviceStatus } from '../../src/status/status.ts';
import { FakeClock } from './fake-clock.ts';
import { mbapFrame } from './modbus-frames.ts';

/** What the endpoint heard: one write of the gateway's, which is one request. */
export interface HeardRequest {
  bytes: Buffer;
  transactionId: number;
  unitId: number;
  /** Function code and what follows. */
  pdu: Buffer;
  atMs: number;
}

export interface EndpointConnection {
  openedAtMs: number;
  closedAtMs: number | null;
  /** Requests on it so far. */
  requests: number;
  send(bytes: Uint8Array, afterMs?: number): void;
  close(afterMs?: number): void;
}

/** Plays the device: called for each request. */
export type EndpointBehaviour = (request: HeardRequest, connection: EndpointConnection) => void;

/** A TCP endpoint on a clock that the test sets; bytes arrive as they are sent, in one piece each. */
export class SimulatedEndpoint {
  readonly #clock: FakeClock;
  behaviour: EndpointBehaviour;
  readonly connections: EndpointConnection[] = [];
  readonly heard: HeardRequest[] = [];
  /** Refuses new connections while set. */
  refusal: string | null = null;

  constructor(clock: FakeClock, behaviour: EndpointBehaviour) {
    this.#clock = clock;
    this.behaviour = behaviour;
  }

  openChannel(): OpenChannel {
    return (events) => {
      if (this.refusal !== null) return Promise.reject(new Error(this.refusal));
      const clock = this.#clock;
      let arrived: Uint8Array[] = [];
      let watched = false;
      const connection: EndpointConnection = {
        openedAtMs: clock.monotonicMs(),
        closedAtMs: null,
        requests: 0,
        send: (bytes, afterMs = 0) =>
          void clock.after(afterMs, () => {
            if (connection.closedAtMs !== null) return;
            arrived.push(bytes);
            if (watched) events.readable();
          }),
        close: (afterMs = 0) =>
          void clock.after(afterMs, () => {
            if (connection.closedAtMs !== null) return;
            connection.closedAtMs = clock.monotonicMs();
            events.ended('the other end closed the connection');
          }),
      };
      this.connections.push(connection);
      const channel: Channel = {
        write: (data) => {
          const bytes = Buffer.from(data);
          const request = {
            bytes,
            transactionId: bytes.readUInt16BE(0),
            unitId: bytes[6]!,
            pdu: bytes.subarray(7),
            atMs: clock.monotonicMs(),
          };
          this.heard.push(request);
          connection.requests += 1;
          this.behaviour(request, connection);
        },
        read: () => {
          const bytes = Buffer.concat(arrived);
          arrived = [];
          return bytes;
        },
        watch: () => {
          watched = true;
          if (arrived.length > 0) queueMicrotask(() => events.readable());
        },
        setBaudRate: () => Promise.resolve(),
        close: () => {
          connection.closedAtMs ??= clock.monotonicMs();
          return Promise.resolve();
        },
      };
      return Promise.resolve(channel);
    };
  }
}

/** Registers that hold their own address. */
export function registersFor({ pdu }: HeardRequest): number[] {
  const [functionCode, address, quantity] = [pdu[0]!, pdu.readUInt16BE(1), pdu.readUInt16BE(3)];
  const words = Array.from({ length: quantity }, (_, index) => (address + index) & 0xffff);
  return [functionCode, quantity * 2, ...words.flatMap((word) => [word >> 8, word & 0xff])];
}

export function answerTo(request: HeardRequest): Uint8Array {
  return mbapFrame(request.transactionId, request.unitId, ...registersFor(request));
}

export function exceptionTo(request: HeardRequest, exceptionCode: number): Uint8Array {
  return mbapFrame(request.transactionId, request.unitId, request.pdu[0]! | 0x80, exceptionCode);
}

/** A queueing gateway's handling of a request once it is its turn. */
export interface Turn {
  /** How long the line behind it is taken. */
  busyMs: number;
  /** Null: no answer. */
  answer: Uint8Array | null;
}

/** Serves one request at a time, whichever connection it came on, as gateways to RS-485 do. */
export function oneQueue(clock: FakeClock, serve: (request: HeardRequest) => Turn): EndpointBehaviour {
  let freeAtMs = 0;
  const queue: (() => void)[] = [];
  const startNext = (): void => queue[0]?.();
  return (request, connection) => {
    queue.push(() => {
      const { busyMs, answer } = serve(request);
      freeAtMs = clock.monotonicMs() + busyMs;
      clock.after(busyMs, () => {
        if (answer !== null) connection.send(answer);
        queue.shift();
        startNext();
      });
    });
    if (queue.length === 1) clock.after(Math.max(0, freeAtMs - clock.monotonicMs()), startNext);
  };
}

export interface SimulatedTcpFieldbus {
  clock: FakeClock;
  endpoint: SimulatedEndpoint;
  fieldbus: Fieldbus;
  samples: Sample[];
  log: LogRecord[];
  of: (device: string) => Sample[];
  /** Samples of the device with every point read. */
  whole: (device: string) => Sample[];
  device: (name: string) => DeviceStatus;
  bus: () => BusStatus;
}

/** A fieldbus that polls a simulated endpoint. */
export function simulateEndpoint(
  bus: BusOptions,
  devices: readonly ModbusDeviceOptions[],
  behaviour: (clock: FakeClock) => EndpointBehaviour,
): SimulatedTcpFieldbus {
  const clock = new FakeClock();
  const endpoint = new SimulatedEndpoint(clock, behaviour(clock));
  const samples: Sample[] = [];
  const log: LogRecord[] = [];
  const fieldbus = startFieldbus(
    { buses: [bus], devices },
    {
      clock,
      logger: createLogger((record) => log.push(record), 'info'),
      openChannel: () => endpoint.openChannel(),
      deliver: (_silo, all) => samples.push(...all),
    },
  );
  const of = (device: string): Sample[] => samples.filter((sample) => sample.device === device);
  return {
    clock,
    endpoint,
    fieldbus,
    samples,
    log,
    of,
    whole: (device) => of(device).filter(({ quality }) => quality === undefined),
    device: (name) => fieldbus.status()[0]!.devices.find((device) => device.name === name)!,
    bus: () => fieldbus.status()[0]!,
  };
}
