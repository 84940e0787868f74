import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { version } from '../base/version.ts';
import type { GatewayOptions } from '../config/options.ts';
import { type Fieldbus, startFieldbus } from '../fieldbus/fieldbus.ts';
import { describeDevice } from '../fieldbus/description.ts';
import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';
import type { GatewayStatus } from '../reading/status.ts';
import type { SiloBirth } from '../silo/protocol.ts';
import type { OpenIsolate } from './open-isolate.ts';
import { SiloHost } from './silo-host.ts';

export interface GatewayDependencies {
  clock: Clock;
  logger: Logger;
  /** Puts up a silo's wall; the one of its options unless a test brings its own. */
  openIsolate?: OpenIsolate;
}

export type SampleListener = (silo: string, samples: readonly Sample[]) => void;

/** The silos get this long to store and take leave, so that the whole stop stays under 5 s. */
const siloStopMs = 4000;

/** The composition root: buses on this thread, each silo on its own, and one way between them. */
export class Gateway {
  readonly #options: GatewayOptions;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #startedAtMs: number;
  readonly #silos: ReadonlyMap<string, SiloHost>;
  readonly #fieldbus: Fieldbus;
  readonly #listeners = new Set<SampleListener>();

  constructor(options: GatewayOptions, { clock, logger, openIsolate }: GatewayDependencies) {
    this.#options = options;
    this.#clock = clock;
    this.#startedAt = clock.wallMs();
    this.#startedAtMs = clock.monotonicMs();
    const births = options.silos.map((silo) => birthOf(silo.name, options));
    this.#silos = new Map(
      births.map((birth) => [birth.options.name, new SiloHost(birth, clock, logger, openIsolate)]),
    );
    for (const silo of this.#silos.values()) silo.start();
    this.#fieldbus = startFieldbus(options, {
      clock,
      logger,
      deliver: (silo, samples) => this.#deliver(silo, samples),
    });
  }

  status(): GatewayStatus {
    return {
      version,
      startedAt: this.#startedAt,
      uptimeMs: Math.round(this.#clock.monotonicMs() - this.#startedAtMs),
      configFile: this.#options.file,
      buses: this.#fieldbus.status(),
      silos: [...this.#silos.values()].map((silo) => silo.status()),
    };
  }

  /** Calls back with samples as they arrive, until the returned function is called. */
  onSamples(listener: SampleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Each silo's devices with their points and units. */
  devices(): { silo: string; devices: DeviceDescription[] }[] {
    return [...this.#silos.values()].map(({ name, devices }) => ({ silo: name, devices }));
  }

  /** Has every silo look at its certificate files now. */
  async reloadIdentities(): Promise<void> {
    await Promise.allSettled([...this.#silos.values()].map((silo) => silo.request('reload')));
  }

  /** Stops polling, then lets the silos make durable what they have. */
  async stop(): Promise<void> {
    await this.#fieldbus.stop();
    await Promise.all([...this.#silos.values()].map((silo) => silo.stop(siloStopMs)));
  }

  #deliver(silo: string, samples: Sample[]): void {
    this.#silos.get(silo)?.deliver(samples);
    for (const listener of this.#listeners) listener(silo, samples);
  }
}

/** A silo is told of its own devices and nothing else. */
function birthOf(name: string, { silos, devices }: GatewayOptions): SiloBirth {
  const options = silos.find((silo) => silo.name === name)!;
  const own = devices.filter((device) => device.silo === name).map(describeDevice);
  const { batch, spool, quota, uplink } = options;
  const configSha256 = createHash('sha256')
    .update(JSON.stringify({ batch, spool, quota, uplink, own }))
    .digest('hex');
  return { options, devices: own, configSha256 };
}
