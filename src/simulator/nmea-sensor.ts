import { SerialPort } from 'serialport';
import { sleep, systemClock, type Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { drift } from './drift.ts';

/** NMEA 0183's own rate: ten bits a byte, so 480 bytes a second. */
const baudRate = 4800;
/** A UART's FIFO hands bytes over in such pieces; sentences arrive cut anywhere. */
const pieceBytes = 16;
const pieceMs = (pieceBytes * 10 * 1000) / baudRate;

export interface NmeaSensor {
  close(): Promise<void>;
}

/**
 * A weather mast that sends by itself, once every `everyMs`, at the pace of its line.
 * Throws PortUnavailable where the line cannot be opened.
 */
export async function startNmeaSensor(path: string, everyMs = 1000): Promise<NmeaSensor> {
  const port = new SerialPort({ path, baudRate, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((error) => {
      if (error === null) return resolve();
      reject(new MerestoneError('PortUnavailable', error.message, { subject: path, cause: error }));
    });
  });
  port.on('error', () => {});
  const stopping = new AbortController();
  const sending = send(port, everyMs, stopping.signal);
  return {
    close: async () => {
      stopping.abort();
      await sending;
      await new Promise<void>((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve()));
    },
  };
}

async function send(port: SerialPort, everyMs: number, signal: AbortSignal): Promise<void> {
  let due = systemClock.monotonicMs();
  while (!signal.aborted && port.isOpen) {
    const bytes = Buffer.from(weatherSentences(systemClock).join(''), 'latin1');
    for (let at = 0; at < bytes.length && !signal.aborted && port.isOpen; at += pieceBytes) {
      port.write(bytes.subarray(at, at + pieceBytes));
      await sleep(systemClock, pieceMs, signal);
    }
    due = Math.max(due + everyMs, systemClock.monotonicMs());
    await sleep(systemClock, due - systemClock.monotonicMs(), signal);
  }
}

/** One round of the mast's sentences: position, wind, weather. */
function weatherSentences(clock: Pick<Clock, 'wallMs'>): string[] {
  const wallMs = clock.wallMs();
  const now = new Date(wallMs).toISOString();
  const time = `${now.slice(11, 19).replaceAll(':', '')}.00`;
  const date = `${now.slice(8, 10)}${now.slice(5, 7)}${now.slice(2, 4)}`;
  const windAngle = ((236 + 24 * drift(wallMs, 40_000, 2) + 360) % 360).toFixed(1);
  const windSpeed = (6.2 + 3.4 * drift(wallMs, 25_000, 4)).toFixed(1);
  const celsius = (11.8 + 0.6 * drift(wallMs, 90_000, 6)).toFixed(1);
  const bar = (1.0132 + 0.0004 * drift(wallMs, 120_000, 8)).toFixed(4);
  return [
    `GPRMC,${time},A,5335.2150,N,01000.4840,E,0.0,0.0,${date},,,A`,
    `GPGGA,${time},5335.2150,N,01000.4840,E,1,09,0.9,12.4,M,45.1,M,,`,
    `WIMWV,${windAngle},R,${windSpeed},M,A`,
    `WIXDR,C,${celsius},C,AIR,P,${bar},B,BARO`,
  ].map(sentence);
}

/** `$BODY*HH` and CR LF, HH being all characters between `$` and `*` exclusive-or'ed (NMEA 0183 §5.3). */
export function sentence(body: string): string {
  const check = Buffer.from(body, 'latin1').reduce((sum, byte) => sum ^ byte, 0);
  return `$${body}*${check.toString(16).toUpperCase().padStart(2, '0')}\r\n`;
}
