import type { Cancel, Clock } from '../base/clock.ts';
import type { DeviceDescription } from '../reading/point.ts';
import { readingsOf, type Sample } from '../reading/sample.ts';
import type { SiloStatus } from '../reading/status.ts';
import type { AuditAct, SiloBirth, SiloMethod } from '../silo/protocol.ts';
import type { SiloHost } from './silo-host.ts';

/** As much as a silo may have in its hands: a stop takes 4 s at most, this is ten at 10,000 readings/s. */
const waitingReadingsMax = 100_000;
/** A new isolate has read its certificate within some hundred milliseconds. */
const lookAgainMs = 50;

type Host = Pick<
  SiloHost,
  'devices' | 'start' | 'deliver' | 'status' | 'record' | 'quota' | 'request' | 'stop' | 'losses'
>;
export type OpenHost = (birth: SiloBirth) => Host;

interface Waiting {
  /** For whom they were taken; null where nobody had been proved. */
  tenant: string | null;
  samples: Sample[];
  readings: number;
}

/**
 * One silo's place in the gateway, whoever serves it. Where its configuration changes, another host takes it;
 * what comes meanwhile waits, and goes on only when the new one has proved to be the same tenant's.
 */
export class SiloSeat {
  readonly name: string;
  readonly #open: OpenHost;
  readonly #clock: Clock;
  #host: Host;
  #waiting: Waiting | undefined = { tenant: null, samples: [], readings: 0 };
  #cancelLook: Cancel | undefined;

  constructor(birth: SiloBirth, open: OpenHost, clock: Clock) {
    this.name = birth.options.name;
    this.#open = open;
    this.#clock = clock;
    this.#host = open(birth);
  }

  get devices(): DeviceDescription[] {
    return this.#host.devices;
  }

  start(): void {
    this.#host.start();
    this.#handOver();
  }

  /** Hands samples over; before the start and over a change of host they wait, within a bound. */
  deliver(samples: Sample[]): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return this.#host.deliver(samples);
    const readings = samples.reduce((sum, sample) => sum + readingsOf(sample), 0);
    if (waiting.readings + readings > waitingReadingsMax) return this.#lose(samples);
    waiting.samples.push(...samples);
    waiting.readings += readings;
  }

  status(): SiloStatus {
    return this.#host.status();
  }

  record(act: AuditAct): void {
    this.#host.record(act);
  }

  quota(event: Parameters<Host['quota']>[0]): void {
    this.#host.quota(event);
  }

  request(method: SiloMethod): Promise<unknown> {
    return this.#host.request(method);
  }

  /**
   * Ends the isolate and starts one with `birth`. `act`, which says why, goes into the log of the tenant whose
   * silo it was, where that one is there to note it.
   */
  async replace(birth: SiloBirth, act: AuditAct, deadlineMs: number): Promise<void> {
    const previous = this.#host;
    this.#cancelLook?.();
    this.#waiting ??= { tenant: previous.status().tenant, samples: [], readings: 0 };
    const next = this.#open(birth);
    // From here on, what is lost is lost in the account that goes on.
    this.#host = next;
    const isThere = ['starting', 'running', 'refused'].includes(previous.status().state);
    if (isThere) previous.record(act);
    await previous.stop(deadlineMs);
    for (const loss of previous.losses.take()) next.losses.add(loss);
    this.start();
    if (!isThere) next.record(act);
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#cancelLook?.();
    if (this.#waiting !== undefined) this.#lose(this.#waiting.samples);
    await this.#host.stop(deadlineMs);
  }

  #handOver(): void {
    const { tenant, samples } = this.#waiting!;
    const { tenant: now, state } = this.#host.status();
    const isKnown = now !== null || state === 'refused' || state === 'quarantined';
    if (tenant !== null && !isKnown) {
      this.#cancelLook = this.#clock.after(lookAgainMs, () => this.#handOver());
      return;
    }
    this.#waiting = undefined;
    if (samples.length === 0) return;
    if (tenant !== null && now !== null && now !== tenant) this.#lose(samples);
    else this.#host.deliver(samples);
  }

  #lose(samples: readonly Sample[]): void {
    for (const { wallMs } of samples) {
      this.#host.losses.add({ reason: 'restart', samples: 1, from: wallMs, to: wallMs });
    }
  }
}
