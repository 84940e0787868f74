import type { Clock } from '../../base/clock.ts';
import { sleep } from '../../base/clock.ts';
import type { SerialLineOptions } from '../options.ts';
import type { Port } from '../port/port.ts';
import { Minute } from '../sharing/sliding-minute.ts';

/** What a dialogue needs of the line that it is held on. */
export interface SerialLine {
  /** The line's own rate, to return to after a dialogue that changed it. */
  readonly baudRate: number;
  /** A character with its start, parity and stop bits. */
  readonly bitsPerCharacter: number;
  /** Throws PortUnavailable where the port isn't open. */
  write(bytes: Uint8Array): void;
  setBaudRate(baudRate: number): Promise<void>;
  /** One dialogue at a time: those who come while one is going on wait in order. */
  turn<Result>(talk: () => Promise<Result>): Promise<Result>;
  /** Resolves once nothing was heard for a while, or after a bounded time on a line that never rests. */
  quiet(): Promise<void>;
  /** To be called for whatever arrives. */
  heard(bytes: number): void;
  /** Share of time that bytes were on the line over the last minute, 0 to 1. */
  load(): number;
}

/** Longer than the pauses within a telegram (USB adapters deliver every 16 ms at worst), and cheap to wait for. */
const quietMs = 50;
/** A sensor that never stops talking must not keep the others from their turn. */
const quietWaitMaxMs = 1000;

export function createSerialLine(options: SerialLineOptions, port: Port, clock: Clock): SerialLine {
  let last: Promise<unknown> = Promise.resolve();
  let heardAt = -Infinity;
  const bitsPerCharacter = 1 + options.dataBits + (options.parity === 'none' ? 0 : 1) + options.stopBits;
  const busy = new Minute(clock.monotonicMs());
  const count = (bytes: number): void =>
    busy.add((bytes * bitsPerCharacter * 1000) / options.baudRate, clock.monotonicMs());
  return {
    baudRate: options.baudRate,
    bitsPerCharacter,
    write: (bytes) => {
      port.write(bytes);
      count(bytes.length);
    },
    setBaudRate: (baudRate) => port.setBaudRate(baudRate),
    turn: (talk) => {
      const turn = last.then(talk);
      last = turn.catch(() => {}); // the caller has the failure; the next in line only waits for its end
      return turn;
    },
    quiet: async () => {
      const until = clock.monotonicMs() + quietWaitMaxMs;
      for (let now = clock.monotonicMs(); now < until && now - heardAt < quietMs; now = clock.monotonicMs()) {
        await sleep(clock, Math.min(quietMs - (now - heardAt), until - now));
      }
    },
    heard: (bytes) => {
      heardAt = clock.monotonicMs();
      count(bytes);
    },
    load: () => busy.share(clock.monotonicMs()),
  };
}
