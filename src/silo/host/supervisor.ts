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
 * One silo's place in the gateway, whoever serves it. Where its configuration changes, another host takes it; what
 * comes meanwhile waits in the one handover that all of them share.
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

  /** Hands samples over; while the silo is away they wait, within a bound. */
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

  /** What the gateway gave up on its behalf counts among what was dropped, told or not. */
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
   * Has the silo look at its certificate files. One that is left alone after crashes is given another try, and
   * one that is down looks at them when it comes back.
   */
  async checkAgain(): Promise<void> {
    this.#host.revive();
    await this.#host.request({ method: 'reload' }).catch(() => {});
  }

  /** Has the silo send its quarantined batches once more; how many. Throws SiloCrashed where it does not. */
  retryQuarantined(by: string): Promise<number> {
    return this.#host.request({ method: 'retry', by });
  }

  /** Whoever waits for an answer waits no longer. */
  abort(): void {
    this.#host.abort();
  }

  /**
   * Ends the isolate and starts one with `birth`. `act`, which says why, goes into the log of the tenant whose
   * silo it was, where that one is there to note it.
   */
  async replace(startMessage: StartMessage, act: AuditAct, deadlineMs: number): Promise<void> {
    const previous = this.#host;
    const isThere = ['starting', 'running', 'refused'].includes(previous.status().state);
    if (isThere) previous.record(act);
    this.#sampleQueue.shut();
    await previous.stop(deadlineMs);
    // What comes while nobody is there waits, and what the next one does not take is its tenant's loss.
    this.#sampleQueue.shut();
    this.#host = this.#open(startMessage, this.#sampleQueue);
    for (const edge of previous.reached) this.#host.quota(edge);
    this.#host.start();
    if (!isThere) this.#host.record(act);
  }

  /** What nobody will tell the tenant any more is told to whoever reads the log. */
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
