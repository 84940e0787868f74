import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { DeviceDescription } from '../../reading/point.ts';
import type { Sample } from '../../reading/sample.ts';
import type { SiloStatus } from '../../status/status.ts';
import type { AuditAct, StartMessage, SiloDevices } from '../protocol.ts';
import { SampleQueue } from './sample-queue.ts';
import { LossWatch } from './loss-watch.ts';
import type { QuotaEdge, SiloHost } from './silo-host.ts';

type Host = Pick<
  SiloHost,
  | 'describe'
  | 'devices'
  | 'abort'
  | 'quota'
  | 'reached'
  | 'record'
  | 'request'
  | 'revive'
  | 'start'
  | 'status'
  | 'stop'
>;
/** Often enough to know what goes on. */
const checkEveryMs = 1000;

export type OpenHost = (startMessage: StartMessage, sampleQueue: SampleQueue) => Host;

/**
 * One silo in the gateway, over all of its restarts and reloads. If its configuration changes, a new host replaces the
 * old one; samples that come meanwhile wait in the sample queue that all hosts share.
 */
export class Supervisor {
  readonly name: string;
  readonly #open: OpenHost;
  readonly #logger: Logger;
  readonly #sampleQueue: SampleQueue;
  readonly #clock: Clock;
  readonly #losses = new LossWatch();
  #checkedAtMs = -Infinity;
  #host: Host;

  constructor(startMessage: StartMessage, open: OpenHost, clock: Clock, logger: Logger) {
    this.name = startMessage.options.name;
    this.#open = open;
    this.#logger = logger;
    this.#clock = clock;
    const giveUp = (losses: Readonly<Record<string, number>>): void => this.#giveUp(losses);
    this.#sampleQueue = new SampleQueue(() => clock.wallMs(), giveUp);
    this.#host = open(startMessage, this.#sampleQueue);
  }

  get devices(): DeviceDescription[] {
    return this.#host.devices;
  }

  start(): void {
    this.#host.start();
  }

  /** Delivers samples; while the silo is down they wait, within a bound. */
  deliver(samples: Sample[]): void {
    this.#sampleQueue.deliver(samples);
    const now = this.#clock.monotonicMs();
    if (now - this.#checkedAtMs < checkEveryMs) return;
    this.#checkedAtMs = now;
    this.#losses.note(this.#dropped(this.#host.status()), now);
  }

  status(): SiloStatus {
    const now = this.#clock.monotonicMs();
    const status = this.#host.status();
    const dropped = this.#dropped(status);
    this.#losses.note(dropped, now);
    return { ...status, samples: { ...status.samples, dropped }, dropping: this.#losses.recent(now) };
  }

  /** Samples that the gateway dropped for the silo count as dropped, reported or not. */
  #dropped({ samples }: SiloStatus): Record<string, number> {
    const dropped = { ...samples.dropped };
    for (const [reason, count] of Object.entries(this.#sampleQueue.untold)) {
      dropped[reason] = (dropped[reason] ?? 0) + count;
    }
    return dropped;
  }

  record(act: AuditAct): void {
    this.#host.record(act);
  }

  quota(edge: QuotaEdge): void {
    this.#host.quota(edge);
  }

  /** Tells the silo of its devices as they are now; nothing restarts. */
  describe(devices: SiloDevices): void {
    this.#host.describe(devices);
  }

  /**
   * Has the silo check its certificate files. A quarantined silo is restarted, and a silo that is down checks them
   * when it starts.
   */
  async checkAgain(): Promise<void> {
    this.#host.revive();
    await this.#host.request({ method: 'reload' }).catch(() => {});
  }

  /** Has the silo requeue its quarantined batches; returns how many. Throws SiloCrashed if it does not. */
  retryQuarantined(by: string): Promise<number> {
    return this.#host.request({ method: 'retry', by });
  }

  /** Rejects all pending requests. */
  abort(): void {
    this.#host.abort();
  }

  /**
   * Ends the isolate and starts one with `startMessage`. `act`, which says why, goes into the audit log of the former
   * tenant if its silo is running.
   */
  async replace(startMessage: StartMessage, act: AuditAct, deadlineMs: number): Promise<void> {
    const previous = this.#host;
    const isThere = ['starting', 'running', 'refused'].includes(previous.status().state);
    if (isThere) previous.record(act);
    this.#sampleQueue.shut();
    await previous.stop(deadlineMs);
    // Samples wait while no silo runs; those that the next one does not accept are its tenant's loss.
    this.#sampleQueue.shut();
    this.#host = this.#open(startMessage, this.#sampleQueue);
    for (const edge of previous.reached) this.#host.quota(edge);
    this.#host.start();
    if (!isThere) this.#host.record(act);
  }

  /** Stops the silo. Losses that can no longer be reported to the tenant are logged. */
  async stop(deadlineMs: number): Promise<void> {
    await this.#host.stop(deadlineMs);
    this.#sampleQueue.close('crash');
    const untold = this.#sampleQueue.untold;
    if (Object.keys(untold).length > 0) this.#giveUp(untold);
  }

  #giveUp(losses: Readonly<Record<string, number>>): void {
    this.#logger.warn('samples given up that the silo could not be told of', { silo: this.name, ...losses });
  }
}
