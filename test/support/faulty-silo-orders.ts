import type { WatchdogThresholds } from '../../src/silo/host/watchdog.ts';

/** A silo that can be driven mad, behind either wall, and how long its warden bears with it. */
export const possessedEntry = new URL('./faulty-silo.ts', import.meta.url);
export const plaguePatience: WatchdogThresholds = {
  memoryMeasurementsMax: 5,
  cpuMeasurementsMax: 60,
  silenceMaxMs: 5000,
};
