import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { DeviceDescription } from '../../reading/point.ts';
import type { Sample } from '../../reading/sample.ts';
import type { SiloStatus } from '../../status/status.ts';
import type { AuditAct, SiloBirth, SiloDevices } from '../protocol.ts';
import { Handover } from './sample-queue.ts';
import { LossWatch } from './loss-watch.ts';
import type { QuotaEdge, SiloHost } from './silo-host.ts';

type Host = Pick<
  SiloHost,
  | 'describe'
  | 'devices'
  | 'hurry'
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
const lookEveryMs = 1000;

export type OpenHost = (birth: SiloBirth, handover: Handover) => Host;

/**
 * One silo's place in the gateway, whoever serves it. Where its configuration changes, another host takes it; what
 * comes meanwhile waits in the one handover that all of them share.
 */
export class SiloSeat {
  readonly name: string;
  readonly #open: OpenHost;
  readonly #logger: Logger;
  readonly #handover: Handover;
  readonly #clock: Clock;
  readonly #losses = new LossWatch();
  #lookedAtMs = -Infinity;
  #host: Host;

  constructor(birth: SiloBirth, open: OpenHost, clock: Clock, logger: Logger) {
    this.name = birth.options.name;
    this.#open = open;
    this.#logger = logger;
    this.#clock = clock;
    const giveUp = (losses: Readonly<Record<string, number>>): void => this.#giveUp(losses);
    this.#handover = new Handover(() => clock.wallMs(), giveUp);
    this.#host = open(birth, this.#handover);
  }

  get devices(): DeviceDescription[] {
    return this.#host.devices;
  }

  start(): void {
    this.#host.start();
  }

  /** Hands samples over; while the silo is away they wait, within a bound. */
  deliver(samples: Sample[]): void {
    this.#handover.deliver(samples);
    const now = this.#clock.monotonicMs();
    if (now - this.#lookedAtMs < lookEveryMs) return;
    this.#lookedAtMs = now;
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
    for (const [reason, count] of Object.entries(this.#handover.untold)) {
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
  async lookAgain(): Promise<void> {
    this.#host.revive();
    await this.#host.request({ method: 'reload' }).catch(() => {});
  }

  /** Has the silo send its quarantined batches once more; how many. Throws SiloCrashed where it does not. */
  retryQuarantined(by: string): Promise<number> {
    return this.#host.request({ method: 'retry', by });
  }

  /** Whoever waits for an answer waits no longer. */
  hurry(): void {
    this.#host.hurry();
  }

  /**
   * Ends the isolate and starts one with `birth`. `act`, which says why, goes into the log of the tenant whose
   * silo it was, where that one is there to note it.
   */
  async replace(birth: SiloBirth, act: AuditAct, deadlineMs: number): Promise<void> {
    const previous = this.#host;
    const isThere = ['starting', 'running', 'refused'].includes(previous.status().state);
    if (isThere) previous.record(act);
    this.#handover.shut();
    await previous.stop(deadlineMs);
    // What comes while nobody is there waits, and what the next one does not take is its tenant's loss.
    this.#handover.shut();
    this.#host = this.#open(birth, this.#handover);
    for (const edge of previous.reached) this.#host.quota(edge);
    this.#host.start();
    if (!isThere) this.#host.record(act);
  }

  /** What nobody will tell the tenant any more is told to whoever reads the log. */
  async stop(deadlineMs: number): Promise<void> {
    await this.#host.stop(deadlineMs);
    this.#handover.close('crash');
    const untold = this.#handover.untold;
    if (Object.keys(untold).length > 0) this.#giveUp(untold);
  }

  #giveUp(losses: Readonly<Record<string, number>>): void {
    this.#logger.warn('samples given up that the silo could not be told of', { silo: this.name, ...losses });
  }
}
