import { SerialPort } from 'serialport';
import { systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { ModbusUnit } from './register-image.ts';

/**
 * Unit id, function code, address, count, CRC: every read request is this long (Modbus over Serial Line V1.02 §2.3).
 */
const requestBytes = 8;
/** A request whose bytes stop coming for this long is given up; far above t1.5, as a PTY keeps no time. */
const staleMs = 200;

export interface ModbusRtuDevice {
  close(): Promise<void>;
}

export interface ModbusRtuOptions {
  path: string;
  baudRate?: number;
  parity?: 'none' | 'even' | 'odd';
  /** Milliseconds from a request to its answer's leaving; undefined: no answer, as from a unit that is unplugged. */
  answerAfterMs?: (unitId: number, answerBytes: number) => number | undefined;
}

/**
 * Serves units on a serial line. As on a real line, what is for another unit, damaged or unknown gets no answer.
 * Throws PortUnavailable where the line cannot be opened.
 */
export async function startModbusRtuDevice(
  units: ReadonlyMap<number, ModbusUnit>,
  options: ModbusRtuOptions,
): Promise<ModbusRtuDevice> {
  const { path, baudRate = 19_200, parity = 'even' } = options;
  const port = new SerialPort({ path, baudRate, parity, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((error) => {
      if (error === null) return resolve();
      reject(new MerestoneError('PortUnavailable', error.message, { subject: path, cause: error }));
    });
  });
  // The far end may hang up before we close; the device then only sees a dead line.
  port.on('error', () => {});
  serve(port, units, options);
  return {
    close: () => new Promise((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve())),
  };
}

function serve(port: SerialPort, units: ReadonlyMap<number, ModbusUnit>, options: ModbusRtuOptions): void {
  let pending: Buffer = Buffer.alloc(0);
  let lastByteAt = 0;
  port.on('data', (chunk: Buffer) => {
    const now = systemClock.monotonicMs();
    pending = now - lastByteAt > staleMs ? chunk : Buffer.concat([pending, chunk]);
    lastByteAt = now;
    while (pending.length >= requestBytes) {
      const request = pending.subarray(0, requestBytes);
      if (!isIntact(request)) {
        pending = pending.subarray(1);
        continue;
      }
      pending = pending.subarray(requestBytes);
      answer(request);
    }
  });

  const answer = (request: Buffer): void => {
    const unitId = request[0]!;
    const unit = units.get(unitId);
    if (unit === undefined) return;
    const adu = seal(unitId, unit.answer(request.subarray(1, 6)));
    const afterMs = options.answerAfterMs === undefined ? 0 : options.answerAfterMs(unitId, adu.length);
    if (afterMs === undefined) return;
    const send = (): unknown => port.isOpen && port.write(adu);
    if (afterMs <= 0) send();
    else systemClock.after(afterMs, send);
  };
}

function seal(unitId: number, pdu: Buffer): Buffer {
  const adu = Buffer.concat([Buffer.of(unitId), pdu, Buffer.alloc(2)]);
  adu.writeUInt16LE(crc16(adu.subarray(0, -2)), adu.length - 2);
  return adu;
}

function isIntact(adu: Buffer): boolean {
  return crc16(adu.subarray(0, -2)) === adu.readUInt16LE(adu.length - 2);
}

/**
 * CRC-16/MODBUS (Serial Line V1.02 §6.2.2), bit by bit: deliberately not the gateway's own code, so that
 * a fault in one cannot hide in the other.
 */
function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  }
  return crc;
}
