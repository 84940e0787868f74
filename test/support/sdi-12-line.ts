import assert from 'node:assert/strict';
import type { Cancel } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { protocolSchema } from '../../src/config/profile/protocol-schema.ts';
import { startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { BusOptions, SerialDeviceOptions } from '../../src/fieldbus/options.ts';
import type { Sample } from '../../src/reading/sample.ts';
import type { ChannelEvents, OpenChannel } from '../../src/fieldbus/port/port.ts';
import { FakeClock } from './fake-clock.ts';

/** An SDI-12 sensor as its address on a simulated line. */
export interface Sdi12Sensor {
  /** The seconds that it announces; may change during a test. */
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

  /** Silences its sensors. */
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

export const sdi12Bus: BusOptions & { kind: 'serial' } = {
  kind: 'serial',
  name: 'line',
  port: 'sim',
  baudRate: 9600,
  dataBits: 8,
  parity: 'none',
  stopBits: 1,
  deadShareMax: 0.1,
};

/** As profile `sdi-12` has it. */
export function sdi12(
  address: string,
  everyMs: number,
  { measure = 'M', ...options }: Partial<SerialDeviceOptions> & { measure?: 'M' | 'C' } = {},
): SerialDeviceOptions {
  const request = [
    { send: `${address}${measure}!`, expect: `^${address}(?<seconds>\\d{3})\\d{1,2}$` },
    { expect: `^${address}$`, timeout: { secondsOf: 'seconds' }, optional: true },
    { send: `${address}D0!`, expect: `^${address}[+-]` },
  ];
  const messages = [{ pattern: `^${address}(?<level>[+-][\\d.]+)`, fields: [{ name: 'level' }] }];
  return {
    kind: 'serial',
    name: `sensor-${address}`,
    silo: 'north',
    bus: 'line',
    everyMs,
    responseTimeoutMs: 1000,
    protocol: protocolSchema.parse({ request, messages }),
    ...options,
  };
}

const quick: Sdi12Sensor = { seconds: 0, takesSeconds: 0, values: '+1.5' };

/** Sensor 0 is of silo north; sensor 1, the neighbour, of silo south, and is quick. */
export function simulateSdi12(
  first: Sdi12Sensor,
  devices: readonly SerialDeviceOptions[],
  { breaks = true, busShares = new Map<string, number>() } = {},
) {
  const clock = new FakeClock();
  const beganMs = clock.monotonicMs();
  const line = new Sdi12Line(clock, { breaks });
  line.sensors.set('0', first).set('1', quick);
  const samples: Sample[] = [];
  const told: string[] = [];
  const fieldbus = startFieldbus(
    { buses: [sdi12Bus], devices, busShares },
    {
      clock,
      logger: silentLogger,
      openChannel: () => line.openChannel(),
      deliver: (_silo, all) => samples.push(...all),
      onShare: (silo, { state }) => told.push(`${silo} ${state}`),
    },
  );
  const valuesOf = (device: string): Sample[] =>
    samples.filter((sample) => sample.device === device && Object.keys(sample.values).length > 0);
  const widestGapMs = (device: string): number => {
    const times = [beganMs, ...valuesOf(device).map(({ monotonicMs }) => monotonicMs), clock.monotonicMs()];
    return Math.max(...times.slice(1).map((time, index) => time - times[index]!));
  };
  const status = (device: string) => fieldbus.status()[0]!.devices.find(({ name }) => name === device)!;
  const end = async (): Promise<void> => {
    await fieldbus.stop();
    line.stop();
    await clock.advanceAsync(1000);
    assert.equal(clock.timers, 0, 'nothing goes on');
  };
  return { clock, line, fieldbus, told, valuesOf, widestGapMs, status, end };
}
