import { MerestoneError } from '../../base/error.ts';
import type { Rs485Options } from '../options.ts';

/** ioctl(2) on a tty; returns what the kernel does, -1 on failure. */
export type Ioctl = (descriptor: number, request: number, argument: Buffer) => number;

/** asm-generic/ioctls.h; the same on x64 and arm64. */
const TIOCEXCL = 0x540c;
const TIOCGSERIAL = 0x541e;
const TIOCSSERIAL = 0x541f;
const TIOCSRS485 = 0x542f;

/** struct serial_struct (linux/serial.h) on 64 bit; `flags` is its fifth int. */
const serialStructBytes = 72;
const serialFlagsOffset = 16;
const ASYNC_LOW_LATENCY = 1 << 13;

/** struct serial_rs485: flags, delay before and after sending in ms, five words of padding. */
const rs485StructBytes = 32;
const SER_RS485_ENABLED = 1;
const SER_RS485_RTS_ON_SEND = 2;
const SER_RS485_RTS_AFTER_SEND = 4;

/** libc's ioctl; loaded when first needed, because most lines never need it. */
export async function loadIoctl(): Promise<Ioctl> {
  const koffi = (await import('koffi')).default;
  return koffi.load('libc.so.6').func('int ioctl(int, unsigned long, _Inout_ void *)') as Ioctl;
}

/** Makes the kernel refuse every later open of the tty, also by programs without a lock; only root's succeed. */
export function setExclusive(ioctl: Ioctl, descriptor: number): void {
  ioctl(descriptor, TIOCEXCL, Buffer.alloc(4)); // the kernel ignores the buffer
}

/** Asks the adapter not to hold received bytes back (FTDI: 16 ms else). True where it has that mode. */
export function setLowLatency(ioctl: Ioctl, descriptor: number): boolean {
  const serial = Buffer.alloc(serialStructBytes);
  if (ioctl(descriptor, TIOCGSERIAL, serial) < 0) return false;
  serial.writeInt32LE(serial.readInt32LE(serialFlagsOffset) | ASYNC_LOW_LATENCY, serialFlagsOffset);
  return ioctl(descriptor, TIOCSSERIAL, serial) >= 0;
}

/** Lets the kernel switch the transceiver's direction. Throws PortUnavailable if the driver can't. */
export function setRs485(ioctl: Ioctl, descriptor: number, options: Rs485Options): void {
  const settings = Buffer.alloc(rs485StructBytes);
  const flags =
    SER_RS485_ENABLED |
    (options.rtsOnSend ? SER_RS485_RTS_ON_SEND : 0) |
    (options.rtsAfterSend ? SER_RS485_RTS_AFTER_SEND : 0);
  settings.writeUInt32LE(flags, 0);
  settings.writeUInt32LE(options.delayBeforeSendMs, 4);
  settings.writeUInt32LE(options.delayAfterSendMs, 8);
  if (ioctl(descriptor, TIOCSRS485, settings) < 0) {
    throw new MerestoneError('PortUnavailable', 'the driver of this port has no RS-485 mode', {
      hint: "remove 'rs485' from the bus: most USB adapters turn the direction by themselves",
    });
  }
}
