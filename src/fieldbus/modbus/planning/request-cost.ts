import { asciiTiming, type LineTiming, serialTiming, socketTiming } from '../line-timing.ts';
import type { BusOptions } from '../../options.ts';

/** What a read costs in ms of the line's time: `requestMs` + registers × `registerMs` (or bits × `bitMs`). */
export interface CostModel {
  requestMs: number;
  registerMs: number;
  bitMs: number;
}

/** Characters of a read request, and of its answer without the data (Modbus over serial line V1.02). */
const requestChars = 8;
const answerChars = 5;

/** Assumed until measured. */
export const assumedAnswerMs = { line: 20, socket: 5 };

/**
 * Over a socket the round trip is all that counts; a register costs the device's own time, which is
 * some 10 µs on the slowest and hardly ever a reason for a second request.
 */
const socketRegisterMs = 0.01;

export function timingOf(bus: BusOptions): LineTiming {
  if (bus.kind === 'modbus-ascii') return asciiTiming(bus);
  return bus.kind === 'modbus-rtu' ? serialTiming(bus) : socketTiming;
}

/**
 * The line's arithmetic for a device that takes `answerMs` from the request's last bit to its answer's first, the
 * silence that it waits for included; after the answer comes another.
 */
export function costModel({ charMs, silenceMs }: LineTiming, answerMs: number): CostModel {
  if (charMs === 0) {
    return { requestMs: answerMs, registerMs: socketRegisterMs, bitMs: socketRegisterMs / 16 };
  }
  const requestMs = (requestChars + answerChars) * charMs + silenceMs + answerMs;
  return { requestMs, registerMs: 2 * charMs, bitMs: charMs / 8 };
}

export function costOf(cost: CostModel, table: string, quantity: number): number {
  const each = table === 'coil' || table === 'discrete' ? cost.bitMs : cost.registerMs;
  return cost.requestMs + quantity * each;
}
