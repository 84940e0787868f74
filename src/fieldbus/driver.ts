import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { PointDescription } from '../reading/point.ts';
import type { Range } from '../reading/range.ts';
import type { Sample } from '../reading/sample.ts';
import type { BusSiloStatus, DeviceStatus } from '../status/status.ts';
import type { IdentityListener } from './identity-notes.ts';
import type { LateAnswers } from './modbus/unanswered.ts';
import type { BusOptions, BusShares, DeviceOptions } from './options.ts';
import type { OpenChannel, Port } from './port/port.ts';
import type { ShareEvent } from './sharing/silo-use.ts';

/** What a driver gets to run one bus. */
export interface DriverDependencies {
  /** Opens and reopens by itself; a driver never closes it. */
  port: Port;
  clock: Clock;
  logger: Logger;
  /** Of the line that the port opens, over restarts of the bus. */
  lateAnswers: LateAnswers;
  /** Names the silo, because device names are unique only within one. */
  deliver: (silo: string, sample: Sample) => void;
  onShare: (silo: string, event: ShareEvent) => void;
  onIdentity: IdentityListener;
}

/** A bus that a driver runs. It begins without devices, and asks for nothing before it has some. */
export interface DrivenBus<D extends DeviceOptions = DeviceOptions> {
  /**
   * Replaces devices and shares. An unchanged device continues undisturbed; answers still due to a removed device are
   * received and dropped. Throws ProfileInvalid, and then nothing has changed.
   */
  assign(devices: readonly D[], shares: BusShares): void;
  /** Stops at once. Leaves the port open. */
  stop(): void;
  /** As `stop`; resolves when no answer is due any more. */
  finish(): Promise<void>;
  devices(): DeviceStatus[];
  silos(): BusSiloStatus[];
  /** As `BusStatus.load`. */
  load(): number;
}

/** A point as it is described to the owner of its data. */
export type DeclaredPoint = Omit<PointDescription, 'min' | 'max'> & Range;

/**
 * One bus protocol. The rest of the fieldbus knows it only by this interface and its line in `drivers.ts`;
 * its options are members of `BusKinds` and `DeviceKinds`.
 */
export interface Driver<B extends BusOptions = BusOptions, D extends DeviceOptions = DeviceOptions> {
  /** Kinds of bus that it runs. */
  readonly busKinds: readonly B['kind'][];
  /** The kind of every device on such a bus. */
  readonly deviceKind: D['kind'];
  /** The real line or connection of a bus. */
  openChannel(bus: B): OpenChannel;
  start(bus: B, dependencies: DriverDependencies): DrivenBus<D>;
  /** Throws ProfileInvalid where `assign` would. */
  check(device: D): void;
  /** Every point that the device may give, in the order of its declaration. */
  points(device: D): readonly DeclaredPoint[];
  /** The device without the places in the configuration file that it and its points come from. */
  withoutPlaces(device: D): D;
  /** Share of the bus's time that the device takes, 0 and up; 0 if the line is not polled by a plan. */
  load(bus: B, device: D): number;
}
