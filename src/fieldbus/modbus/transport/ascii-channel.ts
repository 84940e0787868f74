import { createRequire } from 'node:module';
import type { SerialPort } from 'serialport';
import { MerestoneError } from '../../../base/error.ts';
import type { BusKinds } from '../../options.ts';
import { explainRefusal } from '../../port/serial-channel.ts';
import type { OpenChannel } from '../../port/port.ts';
import { AsciiFramer } from './ascii-framer.ts';
import { frameChannel, type FrameTransport } from './frame-channel.ts';

interface AsciiPort extends FrameTransport {
  open(callback: (error: Error | null) => void): void;
  /** The line itself; modbus-serial does not pass its end on. */
  readonly _client: SerialPort;
}

type Options = Pick<BusKinds['modbus-ascii'], 'baudRate' | 'dataBits' | 'parity' | 'stopBits'>;

const require = createRequire(import.meta.url);

/** Modbus ASCII on a serial line (Modbus over serial line V1.02 §2.5.2), framed by modbus-serial. */
export function asciiChannel(line: BusKinds['modbus-ascii']): OpenChannel {
  return async (events) => {
    const AsciiPort = require('modbus-serial/ports/asciiport.js') as new (
      path: string,
      options: Options,
    ) => AsciiPort;
    const { port: path, baudRate, dataBits, parity, stopBits } = line;
    const transport = new AsciiPort(path, { baudRate, dataBits, parity, stopBits });
    await new Promise<void>((resolve, reject) => {
      transport.open((error) => (error ? reject(error) : resolve()));
    }).catch(async (error: unknown) => {
      throw await explainRefusal(error, path, '/proc');
    });
    const serial = transport._client;
    // modbus-serial keeps bytes without limit, and throws at a frame that is none: it sees whole frames only.
    const listeners = serial.listeners('data') as ((frame: Buffer) => void)[];
    const framer = new AsciiFramer();
    serial.removeAllListeners('data');
    serial.on('data', (bytes: Buffer) => {
      for (const frame of framer.push(bytes)) for (const take of listeners) take(frame);
    });
    serial.on('close', (error: Error | null) =>
      events.ended(error === null ? 'the line is gone' : `the line is gone: ${error.message}`),
    );
    serial.on('error', (error) => events.ended(`the line is gone: ${error.message}`));
    return frameChannel(transport, events, () => closed(serial));
  };
}

function closed(serial: SerialPort): Promise<void> {
  serial.removeAllListeners('close');
  return new Promise((resolve, reject) => {
    if (!serial.isOpen) return resolve();
    serial.close((error) => {
      if (error) reject(new MerestoneError('Io', error.message));
      else resolve();
    });
  });
}
