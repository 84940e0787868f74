import { readSync, writeSync } from 'node:fs';
import { SerialPort } from 'serialport';
import { MerestoneError } from '../../base/error.ts';
import type { SerialLineOptions } from '../options.ts';
import { AdapterLocator } from './adapter.ts';
import { findHolder, findSharer } from './port-holder.ts';
import { loadIoctl, setExclusive, setLowLatency, setRs485 } from './line-control.ts';
import type { Channel, ChannelEvents, OpenChannel } from './port.ts';

/** The part of serialport's Linux binding for an open line: it configures the line, we move the bytes. */
interface OpenLine {
  fd: number | null;
  poller: { once(event: 'readable', callback: (error: Error | null) => void): unknown };
  update(options: { baudRate: number }): Promise<void>;
  close(): Promise<void>;
}

/** One read takes all that a tty's input buffer can hold (N_TTY_BUF_SIZE). */
const inbox = Buffer.alloc(4096);
const nothing = new Uint8Array(0);

/** A serial line as a channel; the adapter is found again after it was unplugged. */
export function serialChannel(
  line: SerialLineOptions,
  roots = { sys: '/sys', dev: '/dev', proc: '/proc' },
): OpenChannel {
  const locator = new AdapterLocator(line.port, roots);
  return async (events) => {
    const path = locator.locate();
    const opened = await openLine(line, path, roots.proc);
    try {
      const usb = locator.remember(path);
      if (usb || line.rs485) await setUp(opened, line);
    } catch (error) {
      await opened.close();
      throw error;
    }
    return { ...channelOf(opened, events), findSharer: () => findSharer(path, roots.proc) };
  };
}

async function openLine(line: SerialLineOptions, path: string, procRoot: string): Promise<OpenLine> {
  const { baudRate, dataBits, parity, stopBits } = line;
  try {
    const options = { path, baudRate, dataBits, parity, stopBits, lock: true };
    return (await SerialPort.binding.open(options)) as unknown as OpenLine;
  } catch (error) {
    throw await explainRefusal(error, path, procRoot);
  }
}

/** Why a serial port did not open, with what to do. */
export async function explainRefusal(
  error: unknown,
  path: string,
  procRoot: string,
): Promise<MerestoneError> {
  const message = error instanceof Error ? error.message : String(error);
  if (/busy|cannot lock/i.test(message)) {
    const holder = await findHolder(path, procRoot);
    const who = holder === null ? 'another program' : `process ${holder.pid} (${holder.command})`;
    return new MerestoneError('PortHeld', `${path} is held by ${who}`, {
      hint: 'stop that program: two programs on one line take each other’s answers',
      retryable: true,
      cause: error,
    });
  }
  const isForbidden = /permission/i.test(message);
  const hint = isForbidden ? { hint: "add the user of this program to the group 'dialout'" } : {};
  const details = { ...hint, retryable: true, cause: error };
  // The binding's message repeats the path.
  const why = isForbidden
    ? 'permission denied'
    : message.replace(/^Error: /, '').replace(/, cannot open .*$/, '');
  return new MerestoneError('PortUnavailable', `cannot open ${path}: ${why}`, details);
}

async function setUp(opened: OpenLine, line: SerialLineOptions): Promise<void> {
  const ioctl = await loadIoctl();
  setExclusive(ioctl, opened.fd!);
  if (line.rs485) setRs485(ioctl, opened.fd!, line.rs485);
  setLowLatency(ioctl, opened.fd!);
}

function channelOf(opened: OpenLine, events: ChannelEvents): Channel {
  let watched = false;
  const end = (error: unknown): void =>
    events.ended(error instanceof Error ? `the line is gone: ${error.message}` : 'the line is gone');
  return {
    write: (bytes) => {
      if (writeSync(opened.fd!, bytes) < bytes.length) throw new Error('the line takes no more bytes');
    },
    read: () => {
      if (opened.fd === null) return nothing;
      try {
        const count = readSync(opened.fd, inbox);
        // The line is open with VMIN=1, so no bytes is EAGAIN and 0 is a hang-up (termios(3)).
        if (count === 0) end(undefined);
        return Uint8Array.from(inbox.subarray(0, count));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') end(error);
        return nothing;
      }
    },
    watch: () => {
      if (watched) return;
      watched = true;
      opened.poller.once('readable', (error) => {
        watched = false;
        if (opened.fd === null) return;
        if (error) end(error);
        else events.readable();
      });
    },
    setBaudRate: (baudRate) => opened.update({ baudRate }),
    close: () => opened.close(),
  };
}
