import type { Patience } from '../../src/silo/host/watchdog.ts';

/** A silo that can be driven mad, behind either wall, and how long its warden bears with it. */
export const possessedEntry = new URL('./faulty-silo.ts', import.meta.url);
export const plaguePatience: Patience = { memoryLooksMax: 5, cpuLooksMax: 60, silenceMaxMs: 5000 };
