import type { Clock } from '../base/clock.ts';
import { bell, drift } from './drift.ts';
import { RegisterImage, type ModbusUnit } from './register-image.ts';

export interface MeterOptions {
  /** Tells one meter's curves from another's. */
  seed: number;
  /** Load of a busy hour, all phases together. */
  peakW: number;
  /** The counter's value when the simulation began. */
  importKwh: number;
}

/** Far more than a day's curve, so that the counters cannot leap when a machine was asleep. */
const integrateMaxMs = 60_000;
const phases = [0, 1, 2] as const;

/**
 * A three-phase electricity meter with the input registers of the Eastron SDM630 (float32, high word first):
 * a building's day as a load curve, voltages that sag under load, and energies that are the integral of the powers.
 */
export class Meter implements ModbusUnit {
  readonly #image = new RegisterImage();
  readonly #options: MeterOptions;
  readonly #clock: Pick<Clock, 'wallMs'>;
  #phaseKwh: [number, number, number];
  #updatedAt: number;

  constructor(options: MeterOptions, clock: Pick<Clock, 'wallMs'>) {
    this.#options = options;
    this.#clock = clock;
    const share = options.importKwh / phases.length;
    this.#phaseKwh = [share, share, share];
    this.#updatedAt = clock.wallMs();
    this.#image.define('input', 0, 0x180);
  }

  answer(request: Uint8Array): Buffer {
    this.#update(this.#clock.wallMs());
    return this.#image.answer(request);
  }

  #update(wallMs: number): void {
    const elapsedMs = Math.min(Math.max(wallMs - this.#updatedAt, 0), integrateMaxMs);
    this.#updatedAt = wallMs;
    const loads = phases.map((phase) => phaseLoad(this.#options, phase, wallMs));
    for (const phase of phases) {
      const { volts, amps, watts, voltAmps, vars } = loads[phase]!;
      this.#phaseKwh[phase] += (watts * elapsedMs) / 3.6e9;
      this.#set(0x00 + 2 * phase, volts);
      this.#set(0x06 + 2 * phase, amps);
      this.#set(0x0c + 2 * phase, watts);
      this.#set(0x12 + 2 * phase, voltAmps);
      this.#set(0x18 + 2 * phase, vars);
      this.#set(0x1e + 2 * phase, watts / voltAmps);
      this.#set(0x15a + 2 * phase, this.#phaseKwh[phase]);
    }
    const sum = (of: (load: PhaseLoad) => number): number =>
      loads.reduce((total, load) => total + of(load), 0);
    const kwh = this.#phaseKwh[0] + this.#phaseKwh[1] + this.#phaseKwh[2];
    this.#set(0x2a, sum((load) => load.volts) / phases.length);
    this.#set(0x2e, sum((load) => load.amps) / phases.length);
    this.#set(
      0x30,
      sum((load) => load.amps),
    );
    this.#set(
      0x34,
      sum((load) => load.watts),
    );
    this.#set(
      0x38,
      sum((load) => load.voltAmps),
    );
    this.#set(
      0x3c,
      sum((load) => load.vars),
    );
    this.#set(0x3e, sum((load) => load.watts) / sum((load) => load.voltAmps));
    this.#set(0x46, 50 + 0.02 * drift(wallMs, 45_000, 1));
    this.#set(0x48, kwh);
    this.#set(0x156, kwh);
  }

  #set(address: number, value: number): void {
    this.#image.setFloat32('input', address, value);
  }
}

interface PhaseLoad {
  volts: number;
  amps: number;
  watts: number;
  voltAmps: number;
  vars: number;
}

function phaseLoad({ seed, peakW }: MeterOptions, phase: number, wallMs: number): PhaseLoad {
  const own = seed + 1.7 * phase;
  const day =
    0.3 + 0.25 * bell(wallMs, 7.5, 1.2) + 0.45 * bell(wallMs, 13, 4) + 0.3 * bell(wallMs, 19.5, 1.5);
  // A compressor a phase: on for a third of its period, the periods different, so that the sum has steps.
  const periodMs = 17_000 + 5_000 * phase;
  const compressor = (wallMs + own * 1000) % periodMs < periodMs / 3 ? 0.12 : 0;
  const watts = (peakW / phases.length) * (day * (1 + 0.06 * drift(wallMs, 20_000, own)) + compressor);
  const powerFactor = 0.95 + 0.03 * drift(wallMs, 60_000, own);
  const voltAmps = watts / powerFactor;
  const volts = 231.5 + 1.5 * drift(wallMs, 30_000, own) - (4 * watts) / peakW;
  const vars = Math.sqrt(voltAmps ** 2 - watts ** 2);
  return { volts, amps: voltAmps / volts, watts, voltAmps, vars };
}
