import type { WatchdogThresholds } from '../../src/silo/host/watchdog.ts';

/** The entry of a silo that can be given a fault, on a thread or in a process, and the thresholds of its watchdog. */
export const faultySiloEntry = new URL('./faulty-silo.ts', import.meta.url);
export const faultySiloThresholds: WatchdogThresholds = {
  memoryMeasurementsMax: 5,
  cpuMeasurementsMax: 60,
  silenceMaxMs: 5000,
};
