import type { Clock } from '../../base/clock.ts';
import { sleep } from '../../base/clock.ts';
import type { SerialLineOptions } from '../options.ts';
import type { Port } from '../port/port.ts';
import { SlidingMinute } from '../sharing/sliding-minute.ts';
import { type Charge, LineTime } from './line-time.ts';

/** The caller has the line until its dialogue is over. */
export interface Turn {
  /** Charges the line's time to the caller from now on. */
  begin(charge: Charge): void;
  /** While `wait` goes on, the line is free for others. Then it waits for its turn again; true if others had one. */
  leaveFor(wait: Promise<void>): Promise<boolean>;
}

/** What a dialogue needs of its line. */
export interface SerialLine {
  /** The line's own rate, to return to after a dialogue that changed it. */
  readonly baudRate: number;
  /** A character with its start, parity and stop bits. */
  readonly bitsPerCharacter: number;
  /** Throws PortUnavailable where the port isn't open. */
  write(bytes: Uint8Array): void;
  setBaudRate(baudRate: number): Promise<void>;
  /** One dialogue at a time: later ones wait in order. */
  turn<Result>(talk: (turn: Turn) => Promise<Result>): Promise<Result>;
  /** Charges the time until now to the devices that used it. */
  settle(): void;
  /** Resolves once nothing was heard for a while, or after a bounded time on a line that never rests. */
  quiet(): Promise<void>;
  /** Must be called for all bytes that arrive. */
  heard(bytes: number): void;
  /** Share of time that bytes were on the line over the last minute, 0 to 1. */
  load(): number;
}

/** Longer than the pauses within a telegram (USB adapters deliver every 16 ms at worst), and cheap to wait for. */
const quietMs = 50;
/** A sensor that never stops talking must not keep the others from their turn. */
const quietWaitMaxMs = 1000;

export function createSerialLine(
  options: Pick<SerialLineOptions, 'baudRate' | 'dataBits' | 'parity' | 'stopBits'>,
  port: Pick<Port, 'write' | 'setBaudRate'>,
  clock: Clock,
): SerialLine {
  const time = new LineTime(clock);
  const turns = new Turns(time);
  let receivedAt = -Infinity;
  const bitsPerCharacter = 1 + options.dataBits + (options.parity === 'none' ? 0 : 1) + options.stopBits;
  const busy = new SlidingMinute(clock.monotonicMs());
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
    turn: (talk) => turns.take(talk),
    settle: () => time.settle(),
    quiet: async () => {
      const until = clock.monotonicMs() + quietWaitMaxMs;
      for (
        let now = clock.monotonicMs();
        now < until && now - receivedAt < quietMs;
        now = clock.monotonicMs()
      ) {
        await sleep(clock, Math.min(quietMs - (now - receivedAt), until - now));
      }
    },
    heard: (bytes) => {
      receivedAt = clock.monotonicMs();
      count(bytes);
    },
    load: () => busy.share(clock.monotonicMs()),
  };
}

/** The current user of the line, and the waiting ones in order. */
class Turns {
  readonly #time: LineTime;
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;
  /** How many dialogues have begun. */
  #begun = 0;

  constructor(time: LineTime) {
    this.#time = time;
  }

  async take<Result>(talk: (turn: Turn) => Promise<Result>): Promise<Result> {
    let charge: Charge | null = null;
    await this.#acquire();
    const turn: Turn = {
      begin: (own) => {
        this.#begun += 1;
        this.#time.talk((charge = own));
      },
      leaveFor: async (wait) => {
        const begun = this.#begun;
        const measured = charge && this.#time.measure(charge);
        this.#release();
        // A failure is thrown once this caller has the line again, because the end of its turn releases it.
        const [waited] = await Promise.allSettled([wait]);
        await this.#acquire();
        measured?.();
        this.#time.talk(charge);
        if (waited.status === 'rejected') throw waited.reason;
        return this.#begun !== begun;
      },
    };
    try {
      return await talk(turn);
    } finally {
      this.#release();
    }
  }

  async #acquire(): Promise<void> {
    if (this.#isTaken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
  }

  /** Passes the line directly to the first that waits: a newcomer can't overtake. */
  #release(): void {
    this.#time.talk(null);
    const next = this.#waiting.shift();
    if (next === undefined) this.#isTaken = false;
    else next();
  }
}
