import type { SerialDeviceOptions } from '../../../src/fieldbus/options.ts';
import { type DeviceSettings, expandProfile } from '../../../src/config/profile/expansion.ts';
import { loadProfile } from '../../../src/config/profile/profile.ts';
import { createRig } from '../../fieldbus/serial/rig.ts';
import { builtInProfiles } from './built-in.ts';

/** A sensor of a built-in profile, on a line that the test plays. */
export function profileRig(name: string, settings: DeviceSettings = {}) {
  const expansion = expandProfile(loadProfile(name, [builtInProfiles]), settings);
  if (expansion.kind !== 'serial') throw new Error(`${name} is no serial profile`);
  const device: SerialDeviceOptions = {
    name: 'sensor',
    silo: 'north',
    bus: 'line',
    responseTimeoutMs: 500,
    ...expansion,
  };
  const rig = createRig(device);
  const { reader, clock, samples, say } = rig;
  return {
    ...rig,
    /** The sample of a free-running sensor's telegram. */
    hear: async (telegram: string) => {
      reader.opened();
      await clock.advanceAsync(500);
      say(telegram);
      await clock.advanceAsync(expansion.everyMs);
      const [sample] = samples.splice(0);
      return { values: sample?.values ?? {}, quality: sample?.quality ?? {}, status: reader.status() };
    },
  };
}
