import { realpathSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Sample } from '../reading/sample.ts';
import type { BusStatus } from '../status/status.ts';
import { type Bus, startBus } from './bus.ts';
import type { Driver } from './driver.ts';
import { driverOfBus, driverOfDevice, drivers as everyDriver } from './drivers.ts';
import type { IdentityListener } from './identity-notes.ts';
import type { LateAnswers } from './modbus/unanswered.ts';
import type { BusOptions, BusShares, DeviceOptions } from './options.ts';
import { createSampleBuffer } from './sample-buffer.ts';
import type { OpenChannel } from './port/port.ts';
import { joinShareEvents, type ShareListener } from './sharing/share-events.ts';

/**
 * The room `fieldbus`: from bytes on every bus to samples. The gateway's main thread starts it, and takes the samples
 * by `deliver` and the figures by `status`.
 *
 * - A bus protocol is a `Driver` (`driver.ts`, listed in `drivers.ts`); `bus.ts` gives it a port that reopens itself.
 * - It reads only: no request of any driver writes to a device.
 * - It knows buses, devices and silo labels, never a tenant, a key or a topic.
 * - A device is on one bus; a silo's share of a bus (`sharing/`) bounds what its devices cost.
 * - Once it runs, a fault of a device or line becomes a quality and a status, never an exception.
 */
export interface FieldbusOptions {
  buses: readonly BusOptions[];
  devices: readonly DeviceOptions[];
  busShares?: BusShares;
}

export interface FieldbusDependencies {
  clock: Clock;
  logger: Logger;
  /** Takes samples of one silo's devices, several at a time where they came together. */
  deliver: (silo: string, samples: Sample[]) => void;
  /** A silo reached its share of a bus, or of no bus any more; at most one such pair in ten seconds for each bus. */
  onShare?: ShareListener;
  /** A device contradicts its profile, or no longer does; throttled for one that alternates. */
  onIdentity?: IdentityListener;
  /** Opens a bus's line; the real ones unless a test brings its own. */
  openChannel?: (bus: BusOptions) => OpenChannel;
  /** The bus protocols; all that Merestone has unless a test brings another. */
  drivers?: readonly Driver[];
}

export interface Fieldbus {
  status(): BusStatus[];
  /**
   * Continues with these options. A bus keeps its port and its figures unless its own options change, a device unless
   * its own do; answers on their way to changed ones are discarded. Resolves when the old ports are closed and the new
   * ones are opening: after that, no sample of a removed device is delivered. Throws ProfileInvalid, and then nothing
   * has changed.
   */
  reconfigure(options: FieldbusOptions): Promise<void>;
  /** Stops polling, delivers what has come, closes every port. */
  stop(): Promise<void>;
}

/** Starts every bus. Throws ProfileInvalid for an invalid serial pattern. */
export function startFieldbus(options: FieldbusOptions, dependencies: FieldbusDependencies): Fieldbus {
  const { clock, logger, deliver, drivers = everyDriver } = dependencies;
  const { onShare = () => {}, onIdentity = () => {} } = dependencies;
  const sampleBuffer = createSampleBuffer(clock, deliver);
  const shareListener = joinShareEvents(onShare);
  const lines = new Map<string, LateAnswers>();
  const stopping = new AbortController();
  let buses: Bus[] = [];
  /** Reconfigurations run one after the other. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work);
    turn = done.catch(() => {}); // the caller has the failure
    return done;
  };

  const start = (bus: BusOptions, { devices, busShares = new Map() }: FieldbusOptions): Bus => {
    const line = lineOf(bus);
    const lateAnswers: LateAnswers = lines.get(line) ?? new Map();
    lines.set(line, lateAnswers);
    const driver = driverOfBus(bus.kind, drivers);
    const started = startBus(bus, {
      driver,
      clock,
      logger,
      openChannel: dependencies.openChannel ?? ((each) => driver.openChannel(each)),
      lateAnswers,
      deliver: (silo, sample) => sampleBuffer.put(silo, sample),
      onShare: shareListener(),
      onIdentity,
    });
    started.assign(devicesOf(bus, devices), busShares);
    return started;
  };

  const change = async (next: FieldbusOptions): Promise<void> => {
    if (stopping.signal.aborted) return;
    const stays = (bus: Bus): boolean =>
      next.buses.some((options) => isDeepStrictEqual(options, bus.options));
    const kept = new Map(buses.filter(stays).map((bus) => [bus.options.name, bus]));
    const ending = buses.filter((bus) => !stays(bus));
    for (const bus of kept.values())
      bus.assign(devicesOf(bus.options, next.devices), next.busShares ?? new Map());
    // Closed before another is opened: it may be the same line under another name.
    await Promise.all(ending.map((bus) => bus.finish(stopping.signal)));
    sampleBuffer.flush();
    if (stopping.signal.aborted) return;
    buses = next.buses.map((bus) => kept.get(bus.name) ?? start(bus, next));
  };

  checkDevices(options.devices, drivers);
  buses = options.buses.map((bus) => start(bus, options));
  return {
    status: () => buses.map((bus) => bus.status()),
    reconfigure: async (next) => {
      checkDevices(next.devices, drivers);
      await inTurn(() => change(next));
    },
    stop: () => {
      stopping.abort();
      return inTurn(async () => {
        await Promise.all(buses.map((bus) => bus.stop()));
        sampleBuffer.flush();
      });
    },
  };
}

function devicesOf({ name }: BusOptions, devices: readonly DeviceOptions[]): DeviceOptions[] {
  return devices.filter(({ bus }) => bus === name);
}

function checkDevices(devices: readonly DeviceOptions[], drivers: readonly Driver[]): void {
  for (const device of devices) driverOfDevice(device.kind, drivers).check(device);
}

/** The real path that a bus opens: an adapter has several names in /dev. */
function lineOf(bus: BusOptions): string {
  if ('host' in bus) return `${bus.host}:${bus.port}`;
  try {
    return realpathSync(bus.port);
  } catch {
    return bus.port; // not there yet
  }
}
