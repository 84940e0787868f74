import { describeError } from '../../base/error.ts';
import { inBackground } from '../../base/background.ts';
import type { Cancel } from '../../base/clock.ts';
import type { Sample } from '../../reading/sample.ts';
import { isSameDevice, withoutPlace } from '../device-equality.ts';
import type { DrivenBus, DriverDependencies } from '../driver.ts';
import { identityNotes } from '../identity-notes.ts';
import type { SerialDeviceOptions, SerialLineOptions } from '../options.ts';
import { allowedAtMs, openBusBudget, spend } from '../sharing/bus-share.ts';
import { loadWith } from '../sharing/sliding-minute.ts';
import { createSiloUse } from '../sharing/silo-use.ts';
import { createSerialLine } from './serial-line.ts';
import { createSerialReader, type SerialReader, type SiloTime } from './serial-reader.ts';

interface Sensor {
  options: SerialDeviceOptions;
  reader: SerialReader;
}

/**
 * The sensors of one serial line. Each reader gets all bytes, and takes the frames it knows; polled sensors are asked
 * one after another. It starts without any.
 */
export function createSerialBus(
  line: SerialLineOptions,
  { port, clock, logger, deliver, onShare, onIdentity }: DriverDependencies,
): DrivenBus<SerialDeviceOptions> {
  const serialLine = createSerialLine(line, port, clock);
  const use = createSiloUse(clock, onShare);
  let budget = openBusBudget([], new Map(), clock.monotonicMs());
  let sensors: Sensor[] = [];
  /** Removed readers whose dialogue is still running. */
  const leaving = new Set<SerialReader>();
  let cancelRead: Cancel = () => {};

  const siloTimeOf = (silo: string): SiloTime => ({
    overShareUntilMs: () => {
      serialLine.settle();
      const now = clock.monotonicMs();
      const allowedMs = allowedAtMs(budget, { silo, begun: false, dead: false }, now);
      if (allowedMs <= now) return null;
      use.hold(silo, allowedMs);
      return allowedMs;
    },
    spent: (ms) => {
      use.add(silo, ms);
      budget = spend(budget, { silo, dead: false, costMs: ms }, clock.monotonicMs());
    },
  });

  const sensorOf = (options: SerialDeviceOptions): Sensor => {
    const own = (sample: Sample): void => deliver(options.silo, sample);
    const outlets = {
      line: serialLine,
      clock,
      siloTime: siloTimeOf(options.silo),
      isAlone: () => sensors.length < 2,
      deliver: own,
      onIdentity: identityNotes(options, { clock, logger, onIdentity }),
    };
    return { options, reader: createSerialReader(options, outlets) };
  };

  const retire = async (gone: readonly Sensor[]): Promise<void> => {
    for (const { reader } of gone) {
      reader.retire();
      leaving.add(reader);
    }
    await serialLine.turn(() => Promise.resolve());
    for (const { reader } of gone) leaving.delete(reader);
  };

  const pump = (): void => {
    const bytes = port.read();
    if (bytes.length > 0) {
      serialLine.heard(bytes.length);
      for (const { reader } of sensors) reader.receive(bytes);
      for (const reader of leaving) reader.receive(bytes);
    }
    cancelRead = port.onReadable(pump);
  };

  /** Reduces the port's states to the two that readers must know; a lost port that is being reopened is still lost. */
  let known: 'open' | 'lost' | null = null;
  const enter = (reader: SerialReader): void => {
    if (known !== null) reader[known === 'open' ? 'opened' : 'lost']();
  };
  const follow = (): void => {
    const { kind } = port.state;
    if ((kind !== 'open' && kind !== 'lost') || kind === known) return;
    known = kind;
    for (const { reader } of sensors) enter(reader);
    if (kind === 'lost') for (const reader of leaving) reader.stop();
  };
  const cancelFollow = port.onState(follow);
  follow();
  cancelRead = port.onReadable(pump);

  return {
    assign: (devices, shares) => {
      const before = sensors;
      const silos = [...new Set(devices.map(({ silo }) => silo))];
      sensors = devices.map(
        (each) => before.find(({ options }) => isSameDevice(options, each, withoutPlace)) ?? sensorOf(each),
      );
      budget = openBusBudget(silos, shares, clock.monotonicMs(), budget);
      use.assign(silos, shares);
      const gone = before.filter((sensor) => !sensors.includes(sensor));
      inBackground(retire(gone), (error) => {
        logger.error('a sensor did not retire', { reason: describeError(error) });
      });
      for (const sensor of sensors) if (!before.includes(sensor)) enter(sensor.reader);
    },
    stop: () => {
      cancelFollow();
      cancelRead();
      use.stop();
      for (const { reader } of sensors) reader.stop();
      for (const reader of leaving) reader.stop();
    },
    finish: () => {
      use.assign([], new Map());
      return retire(sensors);
    },
    devices: () => sensors.map(({ reader }) => reader.status()),
    silos: () => {
      serialLine.settle();
      return use.status();
    },
    load: () => {
      const talking = sensors.reduce((sum, { reader }) => sum + reader.status().busShare, 0);
      return loadWith(
        Math.min(1, Math.max(serialLine.load(), talking)),
        sensors.map(({ reader }) => reader.demand()),
      );
    },
  };
}
