import { backoffMs } from '../base/backoff.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';
import type { SiloStatus } from '../reading/status.ts';
import type { Isolate, IsolateEnd } from '../silo/gate/isolate.ts';
import { LossAccount } from '../silo/loss-account.ts';
import type { AuditAct, FromSilo, LossReason, SiloBirth, SiloMethod, ToSilo } from '../silo/protocol.ts';
import { type GivenUp, Handover } from './handover.ts';
import { LogAllowance } from './log-allowance.ts';
import { openIsolate, type OpenIsolate } from './open-isolate.ts';
import { PendingRequests } from './pending-requests.ts';

/** A silo that crashes this often within the window is left alone until the gateway restarts. */
const crashesMax = 5;
const crashWindowMs = 600_000;
const restartPause = { initialMs: 500, maxMs: 30_000, jitter: 0.2 };
/** What people did while a silo was down waits for it: one reload a second, for longer than any pause. */
const actsMax = 100;

type Stage =
  /** `heard`: it has said its first word, and takes samples. */
  | { at: 'running'; isolate: Isolate; heard: boolean }
  | { at: 'pausing'; cancel: Cancel }
  | { at: 'quarantined' }
  | { at: 'stopping'; isolate: Isolate }
  | { at: 'stopped' };

/**
 * Keeps one silo's isolate alive from outside the wall: starts it, gives it no more than it can take, starts
 * it anew after a crash. It knows the silo's label and figures, and none of its keys or data.
 */
export class SiloHost {
  readonly name: string;
  readonly #birth: SiloBirth;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #open: OpenIsolate;
  readonly #logAllowance: LogAllowance;
  readonly #requests: PendingRequests;
  readonly #handover = new Handover();
  /** What could not be given to the silo and it has not been told of yet. */
  readonly losses = new LossAccount();
  #stage: Stage = { at: 'stopped' };
  #status: SiloStatus;
  #acts: AuditAct[] = [];
  /** Why the isolate is about to end. */
  #fault: string | null = null;
  #crashedAtMs: number[] = [];
  /** Starts in a row that found nobody. */
  #absences = 0;
  #restarts = 0;
  #stopDone: (() => void) | undefined;

  constructor(birth: SiloBirth, clock: Clock, logger: Logger, open: OpenIsolate = openIsolate) {
    this.name = birth.options.name;
    this.#birth = birth;
    this.#clock = clock;
    this.#logger = logger.with({ silo: this.name });
    this.#open = open;
    this.#logAllowance = new LogAllowance(clock.monotonicMs());
    this.#requests = new PendingRequests(clock, () => this.#unreachable());
    this.#status = blankStatus(birth);
  }

  get devices(): DeviceDescription[] {
    return this.#birth.devices;
  }

  start(): void {
    const isolate = this.#open(this.#birth, this.#clock, this.#logger, {
      message: (message) => this.#receive(message),
      usage: (usage) => {
        this.#status = { ...this.#status, usage };
      },
      leaving: () => {},
      fault: (reason) => {
        this.#fault ??= reason;
      },
      ended: (end) => this.#ended(end),
    });
    this.#fault = null;
    this.#stage = { at: 'running', isolate, heard: false };
    this.#post({ type: 'start', birth: this.#birth });
  }

  /** Hands samples over, or counts them as lost where the silo has not kept up. */
  deliver(samples: Sample[]): void {
    const from = samples[0]?.wallMs ?? this.#clock.wallMs();
    if (!this.#handover.admits(samples)) return this.#lose('overrun', { samples: samples.length, from });
    switch (this.#stage.at) {
      case 'running':
        return this.#stage.heard ? this.#give(samples) : this.#handover.wait(samples);
      case 'pausing':
        return this.#handover.wait(samples);
      case 'quarantined':
      case 'stopping':
      case 'stopped':
        return this.#lose('crash', { samples: samples.length, from });
    }
  }

  status(): SiloStatus {
    return { ...this.#status, restarts: this.#restarts };
  }

  /** Has the silo note in its audit log what somebody did; once it is there again, where it is not. */
  record(act: AuditAct): void {
    if (this.#stage.at === 'running' && this.#stage.heard) return this.#post({ type: 'record', act });
    if (this.#acts.length < actsMax) this.#acts.push(act);
  }

  /** A quota that is kept outside of the silo was reached, or is clear again. */
  quota(event: Omit<Extract<ToSilo, { type: 'quota' }>, 'type'>): void {
    this.#post({ type: 'quota', ...event });
  }

  /** Asks the silo; throws SiloCrashed where it is not there or does not answer. */
  async request(method: SiloMethod): Promise<unknown> {
    if (this.#stage.at !== 'running') throw this.#unreachable();
    return this.#requests.ask((id) => this.#post({ type: 'request', id, method }));
  }

  /** Resolves when the isolate is gone; by force after `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    const stage = this.#stage;
    if (stage.at === 'pausing') stage.cancel();
    if (stage.at !== 'running') {
      this.#stage = { at: 'stopped' };
      return this.#lose('crash', this.#handover.giveUpWaiting());
    }
    this.#giveWaiting();
    this.#reportLosses();
    const { isolate } = stage;
    const gone = new Promise<void>((resolve) => {
      this.#stopDone = resolve;
    });
    this.#post({ type: 'stop' });
    this.#stage = { at: 'stopping', isolate };
    const cancel = this.#clock.after(deadlineMs, () => {
      this.#logger.error('silo did not stop in time and is ended', { deadlineMs });
      isolate.end();
    });
    await gone;
    cancel();
  }

  #post(message: ToSilo): void {
    if (this.#stage.at === 'running') this.#stage.isolate.post(message);
  }

  #give(samples: Sample[]): void {
    if (samples.length === 0) return;
    this.#handover.given(samples, this.#clock.wallMs());
    this.#post({ type: 'samples', samples });
  }

  /** What came before the isolate was there, and what people did meanwhile. */
  #giveWaiting(): void {
    for (const act of this.#acts.splice(0)) this.#post({ type: 'record', act });
    this.#give(this.#handover.takeWaiting());
  }

  #receive(message: FromSilo): void {
    if (this.#stage.at === 'running' && !this.#stage.heard) {
      this.#stage.heard = true;
      this.#absences = 0;
      this.#giveWaiting();
    }
    switch (message.type) {
      case 'credit':
        return this.#handover.settled(message.readings);
      case 'status':
        this.#show(message.status);
        return this.#reportLosses();
      case 'reply':
        return this.#requests.resolve(message.id, null);
      case 'log':
        return this.#log(message);
      case 'stopped':
        return;
    }
  }

  #lose(reason: LossReason, { samples, from }: GivenUp): void {
    this.losses.add({ reason, samples, from, to: this.#clock.wallMs() });
  }

  #reportLosses(): void {
    if (this.#stage.at !== 'running') return;
    for (const { samples, from, to, reason } of this.losses.take()) {
      this.#post({ type: 'lost', reason: reason as LossReason, samples, from, to });
    }
  }

  /**
   * A silo serves one tenant for good. What it says of itself is shown under the name that the gateway gave it;
   * one that would go on as somebody else is ended.
   */
  #show(status: SiloStatus): void {
    const { tenant, gateway, usage, isolation } = this.#status;
    const isOther = tenant !== null && status.tenant !== null && status.tenant !== tenant;
    if (isOther && this.#stage.at === 'running') {
      this.#fault = 'it gave itself out as another tenant';
      return this.#stage.isolate.end();
    }
    const origin = { tenant: status.tenant ?? tenant, gateway: status.gateway ?? gateway };
    this.#status = { ...status, ...origin, name: this.name, usage, isolation };
  }

  #log({ level, event, fields }: Extract<FromSilo, { type: 'log' }>): void {
    const { pass, suppressed } = this.#logAllowance.take(this.#clock.monotonicMs());
    if (suppressed > 0) this.#logger.warn('log lines left out', { lines: suppressed });
    if (pass) this.#logger[level](event, fields);
  }

  #ended(end: IsolateEnd): void {
    this.#requests.rejectAll();
    this.#status = { ...this.#status, usage: null };
    this.#lose('crash', this.#handover.giveUpInHand());
    if (this.#stage.at === 'stopping') {
      this.#stage = { at: 'stopped' };
      this.#status = { ...this.#status, state: 'stopped' };
      return this.#stopDone?.();
    }
    switch (end) {
      case 'crashed':
        this.#restarts += 1;
        return this.#crashed();
      case 'left':
        this.#restarts += 1;
        return this.#pause(1, 'it left, and is started anew');
      case 'absent':
        this.#absences += 1;
        return this.#pause(this.#absences, this.#fault ?? 'nobody is there');
    }
  }

  #crashed(): void {
    const nowMs = this.#clock.monotonicMs();
    const reason = this.#fault ?? 'its isolate ended';
    this.#crashedAtMs = [...this.#crashedAtMs.filter((at) => nowMs - at < crashWindowMs), nowMs];
    if (this.#crashedAtMs.length < crashesMax) {
      return this.#pause(this.#crashedAtMs.length, `crashed: ${reason}`);
    }
    this.#stage = { at: 'quarantined' };
    const times = `crashed ${crashesMax} times in ten minutes`;
    this.#setDown('quarantined', `${times}; the last time: ${reason}; restart the gateway to try again`);
  }

  #pause(attempt: number, reason: string): void {
    const pauseMs = backoffMs(attempt, restartPause, Math.random());
    this.#setDown('restarting', reason);
    this.#stage = { at: 'pausing', cancel: this.#clock.after(pauseMs, () => this.start()) };
  }

  #setDown(state: SiloStatus['state'], reason: string): void {
    const isNews = this.#status.state !== state || this.#status.reason !== reason;
    this.#status = { ...this.#status, state, reason };
    if (isNews) this.#logger.error('silo is down', { state, reason });
  }

  #unreachable(): MerestoneError {
    return new MerestoneError('SiloCrashed', `it is ${this.#status.state} and does not answer`, {
      subject: this.name,
      retryable: true,
    });
  }
}

function blankStatus({ options }: SiloBirth): SiloStatus {
  return {
    name: options.name,
    state: 'starting',
    reason: null,
    tenant: null,
    gateway: null,
    identity: null,
    uplink: null,
    spool: null,
    clock: 'unknown',
    samples: { received: 0, stored: 0, published: 0, dropped: {} },
    restarts: 0,
    isolation: options.isolation.kind,
    usage: null,
    quotas: [],
  };
}
