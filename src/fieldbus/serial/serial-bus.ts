import { describeError } from '../../base/error.ts';
import { inBackground } from '../../base/background.ts';
import type { Cancel } from '../../base/clock.ts';
import type { Sample } from '../../reading/sample.ts';
import { isSameDevice, withoutPlace } from '../device-equality.ts';
import type { DrivenBus, DriverDependencies } from '../driver.ts';
import { identityNotes } from '../identity-notes.ts';
import type { BusSiloStatus, DeviceStatus } from '../../status/status.ts';
import type { BusShares, SerialDeviceOptions, SerialLineOptions } from '../options.ts';
import { allowedAtMs, type BusBudget, openBusBudget, spend } from '../sharing/bus-share.ts';
import { loadWith } from '../sharing/sliding-minute.ts';
import { createSiloUse, type SiloUse } from '../sharing/silo-use.ts';
import { createSerialLine, type SerialLine } from './serial-line.ts';
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
  dependencies: DriverDependencies,
): DrivenBus<SerialDeviceOptions> {
  return new SerialBus(line, dependencies);
}

class SerialBus implements DrivenBus<SerialDeviceOptions> {
  readonly #dependencies: DriverDependencies;
  readonly #line: SerialLine;
  readonly #use: SiloUse;
  #budget: BusBudget;
  #sensors: Sensor[] = [];
  /** Removed readers whose dialogue is still running. */
  readonly #leaving = new Set<SerialReader>();
  /** The port's states as readers must know them; a lost port that is being reopened is still lost. */
  #known: 'open' | 'lost' | null = null;
  readonly #cancelFollow: Cancel;
  #cancelRead: Cancel;

  constructor(line: SerialLineOptions, dependencies: DriverDependencies) {
    const { port, clock, onShare } = dependencies;
    this.#dependencies = dependencies;
    this.#line = createSerialLine(line, port, clock);
    this.#use = createSiloUse(clock, onShare);
    this.#budget = openBusBudget([], new Map(), clock.monotonicMs());
    this.#cancelFollow = port.onState(() => this.#follow());
    this.#follow();
    this.#cancelRead = port.onReadable(() => this.#pump());
  }

  assign(devices: readonly SerialDeviceOptions[], shares: BusShares): void {
    const { clock, logger } = this.#dependencies;
    const before = this.#sensors;
    const silos = [...new Set(devices.map(({ silo }) => silo))];
    this.#sensors = devices.map(
      (each) =>
        before.find(({ options }) => isSameDevice(options, each, withoutPlace)) ?? this.#sensorOf(each),
    );
    this.#budget = openBusBudget(silos, shares, clock.monotonicMs(), this.#budget);
    this.#use.assign(silos, shares);
    const gone = before.filter((sensor) => !this.#sensors.includes(sensor));
    inBackground(this.#retire(gone), (error) => {
      logger.error('a sensor did not retire', { reason: describeError(error) });
    });
    for (const sensor of this.#sensors) if (!before.includes(sensor)) this.#enter(sensor.reader);
  }

  stop(): void {
    this.#cancelFollow();
    this.#cancelRead();
    this.#use.stop();
    for (const { reader } of this.#sensors) reader.stop();
    for (const reader of this.#leaving) reader.stop();
  }

  finish(): Promise<void> {
    this.#use.assign([], new Map());
    return this.#retire(this.#sensors);
  }

  devices(): DeviceStatus[] {
    return this.#sensors.map(({ reader }) => reader.status());
  }

  silos(): BusSiloStatus[] {
    this.#line.settle();
    return this.#use.status();
  }

  load(): number {
    const talking = this.#sensors.reduce((sum, { reader }) => sum + reader.status().busShare, 0);
    return loadWith(
      Math.min(1, Math.max(this.#line.load(), talking)),
      this.#sensors.map(({ reader }) => reader.demand()),
    );
  }

  #siloTimeOf(silo: string): SiloTime {
    const { clock } = this.#dependencies;
    return {
      overShareUntilMs: () => {
        this.#line.settle();
        const now = clock.monotonicMs();
        const allowedMs = allowedAtMs(this.#budget, { silo, begun: false, dead: false }, now);
        if (allowedMs <= now) return null;
        this.#use.hold(silo, allowedMs);
        return allowedMs;
      },
      spent: (ms) => {
        this.#use.add(silo, ms);
        this.#budget = spend(this.#budget, { silo, dead: false, costMs: ms }, clock.monotonicMs());
      },
    };
  }

  #sensorOf(options: SerialDeviceOptions): Sensor {
    const { clock, deliver } = this.#dependencies;
    const outlets = {
      line: this.#line,
      clock,
      siloTime: this.#siloTimeOf(options.silo),
      isAlone: () => this.#sensors.length < 2,
      deliver: (sample: Sample) => deliver(options.silo, sample),
      onIdentity: identityNotes(options, this.#dependencies),
    };
    return { options, reader: createSerialReader(options, outlets) };
  }

  async #retire(gone: readonly Sensor[]): Promise<void> {
    for (const { reader } of gone) {
      reader.retire();
      this.#leaving.add(reader);
    }
    await this.#line.turn(() => Promise.resolve());
    for (const { reader } of gone) this.#leaving.delete(reader);
  }

  #pump(): void {
    const { port } = this.#dependencies;
    const bytes = port.read();
    if (bytes.length > 0) {
      this.#line.heard(bytes.length);
      for (const { reader } of this.#sensors) reader.receive(bytes);
      for (const reader of this.#leaving) reader.receive(bytes);
    }
    this.#cancelRead = port.onReadable(() => this.#pump());
  }

  #enter(reader: SerialReader): void {
    if (this.#known === 'open') reader.opened();
    if (this.#known === 'lost') reader.lost();
  }

  #follow(): void {
    const { kind } = this.#dependencies.port.state;
    if ((kind !== 'open' && kind !== 'lost') || kind === this.#known) return;
    this.#known = kind;
    for (const { reader } of this.#sensors) this.#enter(reader);
    if (kind === 'lost') for (const reader of this.#leaving) reader.stop();
  }
}
