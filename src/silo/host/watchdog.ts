import type { SiloUsage } from '../../status/status.ts';
import type { SiloOptions } from '../options.ts';

/** Limits of a silo's isolate. */
export interface IsolateLimits {
  /** Heap and buffers together. */
  memoryBytesMax: number;
  /** Share of one core; absent: unlimited. */
  cpuShare?: number;
}

export function limitsOf({ memoryMbMax, quota }: SiloOptions): IsolateLimits {
  const { cpuShare } = quota;
  return { memoryBytesMax: memoryMbMax * 1e6, ...(cpuShare !== undefined && { cpuShare }) };
}

/** One measurement of an isolate from outside. */
export interface Measurement {
  /** CPU time since it began. */
  cpuMs: number;
  memoryBytes: number;
}

export const measureEveryMs = 1000;

/** A share over fewer measurements would be noise: one batch over a slow network is a burst. */
const windowMeasurements = 10;
/** Uncollected garbage never exceeds the limit by this factor. */
const memoryFactorMax = 2;
/** A silo limits its own CPU use; one that takes half as much again for long does not. */
const cpuFactorMax = 1.5;

/** How long each fault is tolerated. */
export interface WatchdogThresholds {
  /** Garbage counts until it is collected: memory must be over the limit for more measurements than this. */
  memoryMeasurementsMax: number;
  cpuMeasurementsMax: number;
  /** A silo sends a message every second, but the repair of a damaged spool on a slow card takes longer. */
  silenceMaxMs: number;
}

const thresholdsDefault: WatchdogThresholds = {
  memoryMeasurementsMax: 5,
  cpuMeasurementsMax: 60,
  silenceMaxMs: 120_000,
};

/**
 * Watches one isolate from outside: its use of CPU and memory, and its signs of life. Pure: it gets measurements, and
 * returns whether the isolate must be terminated, and why.
 */
export class Watchdog {
  readonly #limits: IsolateLimits;
  readonly #thresholds: WatchdogThresholds;
  readonly #measurements: { atMs: number; cpuMs: number }[];
  #memoryOver = 0;
  #cpuOver = 0;

  constructor(
    limits: IsolateLimits,
    startedAtMs: number,
    thresholds: WatchdogThresholds = thresholdsDefault,
  ) {
    this.#limits = limits;
    this.#thresholds = thresholds;
    this.#measurements = [{ atMs: startedAtMs, cpuMs: 0 }];
  }

  /** `fault`: why the isolate must be terminated; absent while it is within its limits. */
  take({ cpuMs, memoryBytes }: Measurement, nowMs: number): { usage: SiloUsage; fault?: string } {
    const { memoryBytesMax } = this.#limits;
    this.#measurements.push({ atMs: nowMs, cpuMs });
    if (this.#measurements.length > windowMeasurements + 1) this.#measurements.shift();
    const from = this.#measurements[0]!;
    const usage = { cpuShare: share(cpuMs - from.cpuMs, nowMs - from.atMs), memoryBytes, memoryBytesMax };
    const fault = this.#memoryFault(memoryBytes) ?? this.#cpuFault(usage.cpuShare);
    return fault === undefined ? { usage } : { usage, fault };
  }

  /** `lastMessageAtMs`: the last sign of life. */
  silence(lastMessageAtMs: number, nowMs: number): string | undefined {
    return silenceFault(lastMessageAtMs, nowMs, this.#thresholds.silenceMaxMs);
  }

  #memoryFault(memoryBytes: number): string | undefined {
    const { memoryBytesMax } = this.#limits;
    this.#memoryOver = memoryBytes > memoryBytesMax ? this.#memoryOver + 1 : 0;
    if (
      this.#memoryOver <= this.#thresholds.memoryMeasurementsMax &&
      memoryBytes <= memoryBytesMax * memoryFactorMax
    )
      return undefined;
    return `took ${megabytes(memoryBytes)} of memory and may take ${megabytes(memoryBytesMax)} (memoryMax)`;
  }

  #cpuFault(cpuShare: number): string | undefined {
    const limit = this.#limits.cpuShare ?? Infinity;
    this.#cpuOver = cpuShare > limit * cpuFactorMax ? this.#cpuOver + 1 : 0;
    if (this.#cpuOver <= this.#thresholds.cpuMeasurementsMax) return undefined;
    return `took ${percent(cpuShare)} of a core and may take ${percent(limit)} (quota.cpuShare)`;
  }
}

/** Why an isolate counts as hung by its last sign of life; undefined if it does not. */
export function silenceFault(
  lastMessageAtMs: number,
  nowMs: number,
  silenceMaxMs: number,
): string | undefined {
  return nowMs - lastMessageAtMs > silenceMaxMs
    ? `hung: no sign of life for ${silenceMaxMs / 1000} s`
    : undefined;
}

function share(cpuMs: number, elapsedMs: number): number {
  return elapsedMs > 0 ? Math.max(0, cpuMs / elapsedMs) : 0;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
