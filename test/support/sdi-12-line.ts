import type { Cancel } from '../../src/base/clock.ts';
import type { ChannelEvents, OpenChannel } from '../../src/fieldbus/port/port.ts';
import type { FakeClock } from './fake-clock.ts';

/** An SDI-12 sensor as its address on a simulated line. */
export interface Sdi12Sensor {
  /** What it announces; by a value that changes it may change its mind. */
  seconds: number;
  /** How long it really takes; Infinity: it never has values. */
  takesSeconds: number;
  values: string;
}

/**
 * An SDI-12 line behind a transparent adapter: one that makes a break before it addresses another sensor than the
 * last, or none. A break ends a measurement (aM!), and no concurrent one (aC!); a command to a sensor ends its own.
 */
export class Sdi12Line {
  readonly sensors = new Map<string, Sdi12Sensor>();
  readonly asked: { what: string; atMs: number }[] = [];
  readonly #clock: FakeClock;
  readonly #breaks: boolean;
  readonly #measuring = new Map<string, { kind: string; doneAtMs: number }>();
  readonly #cancels = new Set<Cancel>();
  #last = '';
  #say: (text: string) => void = () => {};

  constructor(clock: FakeClock, { breaks }: { breaks: boolean }) {
    this.#clock = clock;
    this.#breaks = breaks;
  }

  /** Its sensors say nothing more. */
  stop(): void {
    for (const cancel of this.#cancels) cancel();
  }

  openChannel(): OpenChannel {
    return (events: ChannelEvents) => {
      let arrived = '';
      let watched = false;
      const tell = (): void => {
        const wasWatched = watched;
        watched = false;
        if (wasWatched) events.readable();
      };
      this.#say = (text) => {
        arrived += text;
        tell();
      };
      return Promise.resolve({
        write: (bytes) => this.#hear(Buffer.from(bytes).toString('latin1')),
        read: () => {
          const bytes = Buffer.from(arrived, 'latin1');
          arrived = '';
          return bytes;
        },
        watch: () => {
          watched = true;
          if (arrived !== '') queueMicrotask(tell);
        },
        setBaudRate: () => Promise.resolve(),
        close: () => Promise.resolve(),
      });
    };
  }

  #hear(command: string): void {
    this.asked.push({ what: command, atMs: this.#clock.monotonicMs() });
    const address = command[0]!;
    const isBroken = this.#breaks && address !== this.#last;
    this.#last = address;
    for (const [each, { kind }] of this.#measuring) {
      if (isBroken && each !== address && kind === 'M') this.#measuring.delete(each);
    }
    const sensor = this.sensors.get(address);
    if (sensor === undefined) return;
    const reply = this.#replyOf(address, command, sensor);
    this.#clock.after(20, () => this.#say(`${reply}\r\n`));
  }

  #replyOf(address: string, command: string, { seconds, takesSeconds, values }: Sdi12Sensor): string {
    const kind = command[1]!;
    const now = this.#clock.monotonicMs();
    if (kind === 'D') {
      const doneAtMs = this.#measuring.get(address)?.doneAtMs ?? Infinity;
      this.#measuring.delete(address);
      return now >= doneAtMs ? `${address}${values}` : address;
    }
    const measurement = { kind, doneAtMs: now + takesSeconds * 1000 };
    this.#measuring.set(address, measurement);
    if (kind === 'M' && takesSeconds > 0 && takesSeconds < Infinity) {
      const cancel = this.#clock.after(takesSeconds * 1000, () => {
        this.#cancels.delete(cancel);
        if (this.#measuring.get(address) === measurement) this.#say(`${address}\r\n`);
      });
      this.#cancels.add(cancel);
    }
    return `${address}${String(seconds).padStart(3, '0')}${kind === 'C' ? '01' : '1'}`;
  }
}
