import type { Cancel, Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Sample } from '../reading/sample.ts';
import type { BusStatus } from '../reading/status.ts';
import { channelOf } from './modbus/open-bus.ts';
import type { BusOptions, DeviceOptions } from './options.ts';
import { createPort, type OpenChannel } from './port/port.ts';
import { createModbusBus } from './schedule/modbus-bus.ts';
import { createSerialBus } from './serial/serial-bus.ts';

export interface FieldbusOptions {
  buses: readonly BusOptions[];
  devices: readonly DeviceOptions[];
}

export interface FieldbusDependencies {
  clock: Clock;
  logger: Logger;
  /** Takes samples of one silo's devices, several at a time where they came together. */
  deliver: (silo: string, samples: Sample[]) => void;
  /** Opens a bus's line; the real ones unless a test brings its own. */
  openChannel?: (bus: BusOptions) => OpenChannel;
}

export interface Fieldbus {
  status(): BusStatus[];
  /** Stops polling, delivers what has come, closes every port. */
  stop(): Promise<void>;
}

/** From bytes on every bus to samples. Throws ProfileInvalid for a serial pattern that is none. */
export function startFieldbus(options: FieldbusOptions, dependencies: FieldbusDependencies): Fieldbus {
  const outbox = createOutbox(dependencies);
  const buses = options.buses.map((bus) => {
    const own = options.devices.filter((device) => device.bus === bus.name);
    return startBus(bus, own, outbox.put, dependencies);
  });
  return {
    status: () => buses.map((bus) => bus.status()),
    stop: async () => {
      await Promise.all(buses.map((bus) => bus.stop()));
      outbox.flush();
    },
  };
}

interface Bus {
  status(): BusStatus;
  stop(): Promise<void>;
}

/** A connection on which an answer is waited for is not idle. */
function idleAfterAnswers(idleCloseMs: number, devices: readonly DeviceOptions[]): number {
  const timeouts = devices.map(({ responseTimeoutMs }) => responseTimeoutMs);
  return idleCloseMs === 0 ? 0 : Math.max(idleCloseMs, ...timeouts);
}

type Put = (silo: string, sample: Sample) => void;

/** Samples that come within one turn of the event loop leave together. */
function createOutbox({ clock, deliver }: FieldbusDependencies): { put: Put; flush(): void } {
  const waiting = new Map<string, Sample[]>();
  let cancel: Cancel | null = null;
  const flush = (): void => {
    cancel?.();
    cancel = null;
    const leaving = [...waiting];
    waiting.clear();
    for (const [silo, samples] of leaving) deliver(silo, samples);
  };
  const put: Put = (silo, sample) => {
    const samples = waiting.get(silo);
    if (samples) samples.push(sample);
    else waiting.set(silo, [sample]);
    cancel ??= clock.after(0, flush);
  };
  return { put, flush };
}

function startBus(
  bus: BusOptions,
  devices: readonly DeviceOptions[],
  put: Put,
  { clock, logger, openChannel = channelOf }: FieldbusDependencies,
): Bus {
  const log = logger.with({ bus: bus.name });
  const idleCloseMs = 'idleCloseMs' in bus ? idleAfterAnswers(bus.idleCloseMs, devices) : 0;
  const port = createPort(openChannel(bus), { clock, logger: log, idleCloseMs });
  const outlets = { port, clock, logger: log, deliver: put };
  const ofKind = {
    modbus: devices.filter((device) => device.kind === 'modbus'),
    serial: devices.filter((device) => device.kind === 'serial'),
  };
  const running =
    bus.kind === 'serial'
      ? createSerialBus(bus, ofKind.serial, outlets)
      : createModbusBus(bus, ofKind.modbus, outlets);
  return {
    status: () => {
      const { kind } = port.state;
      return {
        name: bus.name,
        kind: bus.kind,
        state: kind === 'idle' ? 'open' : kind,
        reason: port.state.kind === 'lost' ? port.state.reason : null,
        load: running.load(),
        devices: running.devices(),
        silos: [],
      };
    },
    stop: async () => {
      running.stop();
      await port.close();
    },
  };
}
