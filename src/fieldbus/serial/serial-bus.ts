import type { Cancel, Clock } from '../../base/clock.ts';
import type { Sample } from '../../reading/sample.ts';
import type { DeviceStatus } from '../../reading/status.ts';
import type { SerialDeviceOptions, SerialLineOptions } from '../options.ts';
import type { Port } from '../port/port.ts';
import { createSerialLine } from './line.ts';
import { createSerialReader } from './serial-reader.ts';

export interface SerialBusDependencies {
  port: Port;
  clock: Clock;
  /** Names the silo, for a device's name is its own only within one. */
  deliver: (silo: string, sample: Sample) => void;
}

export interface SerialBus {
  /** Leaves the port open: whoever gave it closes it. */
  stop(): void;
  devices(): DeviceStatus[];
  /** Share of time that bytes were on the line over the last minute, 0 to 1. */
  load(): number;
}

/**
 * The sensors of one serial line. Each hears all that comes, and takes what it knows; those that must be asked
 * are asked one after another. Throws ProfileInvalid for a pattern that is none.
 */
export function createSerialBus(
  line: SerialLineOptions,
  devices: readonly SerialDeviceOptions[],
  { port, clock, deliver }: SerialBusDependencies,
): SerialBus {
  const serialLine = createSerialLine(line, port, clock);
  const readers = devices.map((device) => {
    const own = (sample: Sample): void => deliver(device.silo, sample);
    return createSerialReader(device, { line: serialLine, clock, deliver: own });
  });
  let cancelRead: Cancel = () => {};

  const pump = (): void => {
    const bytes = port.read();
    if (bytes.length > 0) {
      serialLine.heard(bytes.length);
      for (const reader of readers) reader.receive(bytes);
    }
    cancelRead = port.onReadable(pump);
  };

  /** Of the states of the port the two that readers must know; a lost one that is tried again is still lost. */
  let known: 'open' | 'lost' | null = null;
  const follow = (): void => {
    const { kind } = port.state;
    if ((kind !== 'open' && kind !== 'lost') || kind === known) return;
    known = kind;
    for (const reader of readers) reader[kind === 'open' ? 'opened' : 'lost']();
  };
  const cancelFollow = port.onState(follow);
  follow();
  cancelRead = port.onReadable(pump);

  return {
    stop: () => {
      cancelFollow();
      cancelRead();
      for (const reader of readers) reader.stop();
    },
    devices: () => readers.map((reader) => reader.status()),
    load: () => serialLine.load(),
  };
}
