import type { Clock } from '../../src/base/clock.ts';
import { serialTiming } from '../../src/fieldbus/modbus/line-timing.ts';
import type { SerialLineOptions } from '../../src/fieldbus/options.ts';
import type { Channel, OpenChannel } from '../../src/fieldbus/port/port.ts';
import { bitwiseCrc } from './modbus-frames.ts';

type LineSettings = Pick<SerialLineOptions, 'baudRate' | 'dataBits' | 'parity' | 'stopBits'>;

/** Gets every frame on the line; answers some, with a delay after the frame's last bit. */
export type LineDevice = (frame: Uint8Array) => { bytes: Uint8Array; afterMs: number } | null;

interface Transmission {
  bytes: Uint8Array;
  startMs: number;
  endMs: number;
  sender: unknown;
}

/** Sums of fractions of a millisecond are not exact. */
const toleranceMs = 1e-3;

/**
 * An RS-485 line that keeps to its baud rate: a byte takes its time, a frame ends with 3.5 characters of
 * silence and no sooner, two devices that talk at once garble each other, and one that talks at another rate or
 * parity is heard as garbage. Works on any clock.
 */
export class SimulatedLine {
  readonly #clock: Clock;
  readonly #settings: LineSettings;
  readonly #charMs: number;
  readonly #silenceMs: number;
  readonly #devices: LineDevice[] = [];
  readonly #gateways = new Set<(transmission: Transmission) => void>();
  #frame: Transmission[] = [];
  /** Frames that collided, without silence or turns between them. */
  collisions = 0;
  /** Time that bytes were on the line. */
  busyMs = 0;

  constructor(settings: LineSettings, clock: Clock) {
    const { charMs, silenceMs } = serialTiming(settings);
    this.#clock = clock;
    this.#settings = settings;
    this.#charMs = charMs;
    this.#silenceMs = silenceMs;
  }

  attach(device: LineDevice): void {
    this.#devices.push(device);
  }

  /** A gateway's end, which sends and receives by its own settings. */
  openChannel(settings: LineSettings = this.#settings): OpenChannel {
    const fits = JSON.stringify(pick(settings)) === JSON.stringify(pick(this.#settings));
    return (events) => {
      const arriving: { atMs: number; byte: number }[] = [];
      const hear = ({ bytes, startMs }: Transmission): void => {
        const heard = fits ? bytes : garble(bytes);
        for (const [index, byte] of heard.entries()) {
          arriving.push({ atMs: startMs + (index + 1) * this.#charMs, byte });
        }
        if (watching) wakeUp();
      };
      let watching = false;
      const wakeUp = (): void => {
        const next = arriving[0];
        watching = next === undefined;
        if (next) this.#clock.after(next.atMs - this.#clock.monotonicMs(), () => events.readable());
      };
      this.#gateways.add(hear);
      const channel: Channel = {
        write: (bytes) => this.#send(fits ? bytes : garble(bytes), hear),
        read: () => {
          const now = this.#clock.monotonicMs();
          const count = arriving.findIndex(({ atMs }) => atMs > now + toleranceMs);
          const read = arriving.splice(0, count < 0 ? arriving.length : count);
          return Uint8Array.from(read.map(({ byte }) => byte));
        },
        watch: wakeUp,
        setBaudRate: () => Promise.resolve(),
        close: () => Promise.resolve(void this.#gateways.delete(hear)),
      };
      return Promise.resolve(channel);
    };
  }

  #send(bytes: Uint8Array, sender: unknown): void {
    const startMs = this.#clock.monotonicMs();
    const endMs = startMs + bytes.length * this.#charMs;
    const transmission: Transmission = { bytes, startMs, endMs, sender };
    this.busyMs += bytes.length * this.#charMs;
    const silent = this.#frame.at(-1);
    if (silent && startMs - silent.endMs >= this.#silenceMs - toleranceMs) this.#endFrame(silent.endMs);
    const last = this.#frame.at(-1);
    if (last && startMs < last.endMs - toleranceMs) transmission.bytes = garble(bytes);
    if (last) this.collisions += 1;
    this.#frame.push(transmission);
    for (const gateway of this.#gateways) if (gateway !== sender) gateway(transmission);
    const quietAt = transmission.endMs + this.#silenceMs;
    this.#clock.after(quietAt - this.#clock.monotonicMs(), () => {
      if (this.#frame.at(-1) === transmission) this.#endFrame(transmission.endMs);
    });
  }

  #endFrame(endMs: number): void {
    const senders = new Set(this.#frame.map(({ sender }) => sender));
    const frame = Buffer.concat(this.#frame.map(({ bytes }) => bytes));
    this.#frame = [];
    for (const device of this.#devices) {
      const answer = senders.has(device) ? null : device(frame);
      if (!answer) continue;
      const wait = endMs + answer.afterMs - this.#clock.monotonicMs();
      this.#clock.after(Math.max(0, wait), () => this.#send(answer.bytes, device));
    }
  }
}

/** A Modbus RTU unit on a simulated line. */
export function rtuUnit(
  unitId: number,
  answer: (pdu: Uint8Array) => Uint8Array | null,
  answerAfterMs: () => number | null,
): LineDevice {
  return (frame) => {
    const body = frame.subarray(0, -2);
    if (frame.length < 4 || frame[0] !== unitId) return null;
    if (bitwiseCrc(body) !== (frame.at(-2)! | (frame.at(-1)! << 8))) return null;
    const afterMs = answerAfterMs();
    const pdu = afterMs === null ? null : answer(body.subarray(1));
    if (pdu === null || afterMs === null) return null;
    const adu = Uint8Array.of(unitId, ...pdu, 0, 0);
    const crc = bitwiseCrc(adu.subarray(0, -2));
    adu.set([crc & 0xff, crc >> 8], adu.length - 2);
    return { bytes: adu, afterMs };
  };
}

function pick({ baudRate, dataBits, parity, stopBits }: LineSettings): LineSettings {
  return { baudRate, dataBits, parity, stopBits };
}

/** What a receiver makes of bytes at the wrong rate: something of about that length. */
function garble(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes, (byte, index) => (byte * 37 + index * 101) ^ 0xa5);
}
