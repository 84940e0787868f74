import type { SerialLineOptions } from '../options.ts';

/** The arithmetic of a line; 0 where bytes take no time worth counting. */
export interface LineTiming {
  /** One character with its start, parity and stop bits. */
  charMs: number;
  /** Silence between frames: t3.5. */
  silenceMs: number;
}

/** Modbus over serial line V1.02 §2.5.1.1: 3.5 characters, and a fixed 1.75 ms above 19,200 baud. */
export function serialTiming(
  line: Pick<SerialLineOptions, 'baudRate' | 'dataBits' | 'parity' | 'stopBits'>,
): LineTiming {
  const bits = 1 + line.dataBits + (line.parity === 'none' ? 0 : 1) + line.stopBits;
  const charMs = (1000 * bits) / line.baudRate;
  return { charMs, silenceMs: line.baudRate > 19_200 ? 1.75 : 3.5 * charMs };
}

/** Modbus over serial line V1.02 §2.5.2: two characters a byte, and no silence between frames, which have marks. */
export function asciiTiming(line: Parameters<typeof serialTiming>[0]): LineTiming {
  const charMs = 2 * serialTiming(line).charMs;
  return { charMs, silenceMs: charMs };
}

/** A socket delivers bytes at once; the converter keeps the silence on the line behind it. */
export const socketTiming: LineTiming = { charMs: 0, silenceMs: 0 };
