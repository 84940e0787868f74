import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type Fieldbus, type FieldbusDependencies, startFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { BusOptions, DeviceOptions } from '../../src/fieldbus/options.ts';
import type { Sample } from '../../src/reading/sample.ts';
import type { DeviceStatus } from '../../src/status/status.ts';

/** A fieldbus on the real clock, and the samples that it delivered. */
export interface RunningFieldbus extends AsyncDisposable {
  fieldbus: Fieldbus;
  samples: Sample[];
  device(name: string): DeviceStatus;
}

export function runFieldbus(
  buses: readonly BusOptions[],
  devices: readonly DeviceOptions[],
  openChannel?: FieldbusDependencies['openChannel'],
): RunningFieldbus {
  const samples: Sample[] = [];
  const fieldbus = startFieldbus(
    { buses, devices },
    {
      clock: systemClock,
      logger: silentLogger,
      deliver: (_silo, all) => samples.push(...all),
      ...(openChannel && { openChannel }),
    },
  );
  return {
    fieldbus,
    samples,
    device: (name) => {
      const found = fieldbus.status().flatMap(({ devices }) => devices);
      return found.find((device) => device.name === name)!;
    },
    [Symbol.asyncDispose]: () => fieldbus.stop(),
  };
}
