import { inBackground } from '../base/background.ts';
import type { Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { version } from '../base/version.ts';
import type { GatewayOptions } from '../config/options.ts';
import type { DeviceIdentity } from '../fieldbus/identity-notes.ts';
import type { ShareEvent } from '../fieldbus/sharing/silo-use.ts';
import { type Fieldbus, startFieldbus } from '../fieldbus/fieldbus.ts';
import { describeDevice } from '../fieldbus/device-description.ts';
import { withoutPlaces } from '../fieldbus/drivers.ts';
import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';
import type { GatewayStatus } from '../status/status.ts';
import type { AuditAct, StartMessage } from '../silo/protocol.ts';
import type { RetryResult } from '../admin/control-protocol.ts';
import { withBusUse } from './bus-use-status.ts';
import { digestOf, digestOfNothing, ownPart } from '../config/silo-diff.ts';
import type { OpenIsolate } from '../silo/host/open-isolate.ts';
import { planReload, type ReloadResult, type SiloOutcome } from '../config/reload-plan.ts';
import { SiloHost } from '../silo/host/silo-host.ts';
import { type OpenHost, Supervisor } from '../silo/host/supervisor.ts';

export interface GatewayDependencies {
  clock: Clock;
  logger: Logger;
  /** Starts a silo's isolate; by default the kind that its options name. Tests replace it. */
  openIsolate?: OpenIsolate;
}

export type SampleListener = (silo: string, samples: readonly Sample[]) => void;

/** The silos get this long to store and to disconnect, so that the whole stop stays under 5 s. */
const siloStopMs = 4000;

/** The composition root: buses on this thread, each silo on its own, and one way between them. */
export class Gateway {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #openIsolate: OpenIsolate | undefined;
  readonly #startedAt: number;
  readonly #startedAtMs: number;
  readonly #listeners = new Set<SampleListener>();
  #options: GatewayOptions;
  /** By name, in the order of the configuration. */
  #silos: Map<string, Supervisor>;
  #fieldbus: Fieldbus;
  #fieldbusStopped: Promise<void> | undefined;
  #isEnding = false;

  constructor(options: GatewayOptions, { clock, logger, openIsolate }: GatewayDependencies) {
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#openIsolate = openIsolate;
    this.#startedAt = clock.wallMs();
    this.#startedAtMs = clock.monotonicMs();
    this.#silos = new Map(
      options.silos.map(({ name }) => [name, this.#supervisor(startMessageOf(name, options))]),
    );
    for (const silo of this.#silos.values()) silo.start();
    this.#fieldbus = this.#startFieldbus(options);
  }

  status(): GatewayStatus {
    const buses = this.#fieldbus.status();
    return {
      version,
      startedAt: this.#startedAt,
      at: this.#clock.wallMs(),
      uptimeMs: Math.round(this.#clock.monotonicMs() - this.#startedAtMs),
      configFile: this.#options.file,
      buses,
      silos: [...this.#silos.values()].map((silo) => withBusUse(silo.status(), buses)),
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

  /** Notes an act on the shared gateway in every silo's audit log. */
  record(act: AuditAct): void {
    for (const silo of this.#silos.values()) silo.record(act);
  }

  /** Requeues the quarantined batches of the named silo, or of all silos; `by` is who asked. Throws Usage. */
  async retryQuarantined(name: string | undefined, by: string): Promise<RetryResult[]> {
    const named = [...this.#silos.values()].filter((silo) => name === undefined || silo.name === name);
    if (named.length === 0) {
      const hint = `name one of ${[...this.#silos.keys()].join(', ')}`;
      throw new MerestoneError('Usage', `there is no silo '${name}'`, { hint });
    }
    return Promise.all(named.map((silo) => retried(silo, by)));
  }

  /**
   * Changes to another configuration and restarts only what differs; an unchanged silo checks its certificate files.
   * `by` is who asked. If the buses refuse the configuration, it throws and nothing has changed.
   */
  async reload(options: GatewayOptions, by: string): Promise<ReloadResult> {
    const before = this.#options;
    const plan = planReload(before, options);
    const supervisors = new Map(this.#silos);
    for (const { name, outcome } of plan.silos) {
      // Its samples may come before it is started: they wait in its supervisor.
      if (outcome === 'started') supervisors.set(name, this.#supervisor(startMessageOf(name, options)));
    }
    this.#silos = supervisors;
    try {
      await this.#fieldbus.reconfigure(fieldbusPart(options));
    } catch (error) {
      this.#silos = new Map(before.silos.map(({ name }) => [name, supervisors.get(name)!]));
      throw error;
    }
    this.#options = options;
    // The buses have changed over: a failure from here on concerns one silo and rolls nothing back.
    await Promise.all(
      plan.silos.map((outcome) =>
        this.#carryOut(outcome, before, by).catch((error: unknown) => {
          this.#logger.error('silo not reloaded', { silo: outcome.name, reason: describeError(error) });
        }),
      ),
    );
    this.#silos = new Map(options.silos.map(({ name }) => [name, supervisors.get(name)!]));
    return plan;
  }

  /** Called before `stop`: a reload in progress stops waiting for answers and starts nothing more. */
  abort(): void {
    this.#isEnding = true;
    inBackground(this.#stopFieldbus(), (error) => {
      this.#logger.error('the buses did not stop well', { reason: describeError(error) });
    });
    for (const silo of this.#silos.values()) silo.abort();
  }

  /** Stops polling, then lets the silos make durable what they have. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    await this.#stopFieldbus();
    await Promise.all([...this.#silos.values()].map((silo) => silo.stop(siloStopMs)));
  }

  #stopFieldbus(): Promise<void> {
    this.#fieldbusStopped ??= this.#fieldbus.stop();
    return this.#fieldbusStopped;
  }

  async #carryOut({ name, outcome, changes }: SiloOutcome, before: GatewayOptions, by: string) {
    if (this.#isEnding) return;
    const supervisor = this.#silos.get(name)!;
    const digestIn = (options: GatewayOptions): string => digestOf(ownPart(name, options));
    const changed = () => configurationAct(digestIn(this.#options), digestIn(before), changes, by);
    switch (outcome) {
      case 'changed':
        supervisor.describe(startMessageOf(name, this.#options));
        supervisor.record(changed());
        return await supervisor.checkAgain();
      case 'untouched':
        return await supervisor.checkAgain();
      case 'started':
        supervisor.start();
        return supervisor.record(configurationAct(digestIn(this.#options), null, ['added'], by));
      case 'restarted':
        return await supervisor.replace(startMessageOf(name, this.#options), changed(), siloStopMs);
      case 'stopped':
        supervisor.record(configurationAct(digestOfNothing, digestIn(before), ['removed'], by));
        return await supervisor.stop(siloStopMs);
    }
  }

  #supervisor(startMessage: StartMessage): Supervisor {
    const dependencies = { clock: this.#clock, logger: this.#logger, openIsolate: this.#openIsolate };
    const open: OpenHost = (own, sampleQueue) => new SiloHost(own, sampleQueue, dependencies);
    return new Supervisor(startMessage, open, this.#clock, this.#logger);
  }

  #startFieldbus(options: GatewayOptions): Fieldbus {
    const dependencies = {
      clock: this.#clock,
      logger: this.#logger,
      deliver: (silo: string, samples: Sample[]) => this.#deliver(silo, samples),
      onShare: (silo: string, { limit, state }: ShareEvent) =>
        this.#silos.get(silo)?.quota({ quota: 'bus-share', limit, state }),
      onIdentity: (silo: string, details: DeviceIdentity) =>
        this.#silos.get(silo)?.record({ kind: 'device-identity', details }),
    };
    return startFieldbus(fieldbusPart(options), dependencies);
  }

  #deliver(silo: string, samples: Sample[]): void {
    this.#silos.get(silo)?.deliver(samples);
    for (const listener of this.#listeners) listener(silo, samples);
  }
}

async function retried(silo: Supervisor, by: string): Promise<RetryResult> {
  try {
    return { silo: silo.name, batches: await silo.retryQuarantined(by), reason: null };
  } catch (error) {
    const reason = error instanceof MerestoneError ? error.message : describeError(error);
    return { silo: silo.name, batches: null, reason };
  }
}

function configurationAct(
  configSha256: string,
  previousConfigSha256: string | null,
  changes: readonly string[],
  by: string,
): AuditAct {
  return { kind: 'configuration', details: { configSha256, previousConfigSha256, changes, by } };
}

/** What the buses know of silos: the label, and the share of each bus that its devices may use. */
function fieldbusPart({ silos, buses, devices }: GatewayOptions) {
  const shares = silos.map(({ name, quota }) => [name, quota.busShare] as const);
  const busShares = new Map(shares.filter((each): each is [string, number] => each[1] !== undefined));
  return { buses, devices: devices.map(withoutPlaces), busShares };
}

/** The start message names the silo's own devices and no others. */
function startMessageOf(name: string, options: GatewayOptions): StartMessage {
  const part = ownPart(name, options);
  return { options: part.silo, devices: part.devices.map(describeDevice), configSha256: digestOf(part) };
}
