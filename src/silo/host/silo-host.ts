import { Throttle } from '../../base/throttle.ts';
import { backoffMs } from '../../base/backoff.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import { formatDuration } from '../../base/quantity.ts';
import type { Logger } from '../../base/logger.ts';
import type { DeviceDescription } from '../../reading/point.ts';
import type { QuotaName, SiloStatus } from '../../status/status.ts';
import type { Isolate, IsolateEnd } from './isolate.ts';
import type { AuditAct, FromSilo, StartMessage, SiloDevices, SiloRequest, ToSilo } from '../protocol.ts';
import type { SampleQueue } from './sample-queue.ts';
import { openIsolate, type OpenIsolate } from './open-isolate.ts';
import { PendingRequests } from './pending-requests.ts';
import { SiloStatusView } from './silo-status.ts';

/** A silo in trouble logs a few lines a second; a flood would push the other silos' lines out of the log. */
export const logLines = { perSecond: 10, burst: 200 };

/** A silo that crashes this often within the window is quarantined. */
const crashesMax = 5;
const crashWindowMs = 600_000;
/** The first quarantine, doubled each time another follows soon after. */
const quarantinePause = { initialMs: 600_000, maxMs: 4 * 3_600_000, jitter: 0.1 };
const restartPause = { initialMs: 500, maxMs: 30_000, jitter: 0.2 };
/** A silo that repeatedly stops by itself after a shorter run counts as crashed. */
const shortRunMs = 60_000;
/** Acts that wait while a silo is down: one reload a second, for longer than any pause. */
const actsMax = 100;

type State =
  | { at: 'running'; isolate: Isolate; sinceMs: number }
  | { at: 'pausing'; cancel: Cancel }
  | { at: 'quarantined'; cancel: Cancel }
  | { at: 'stopping'; isolate: Isolate; gone: Promise<void> }
  | { at: 'stopped' };

export interface SiloHostDependencies {
  clock: Clock;
  logger: Logger;
  openIsolate?: OpenIsolate | undefined;
}

export type QuotaEdge = Omit<Extract<ToSilo, { type: 'quota' }>, 'type'>;

/**
 * Keeps one silo's isolate running, from outside: starts it, sends it no more than it can process, and restarts it
 * after a crash. It knows the silo's label and figures, and none of its keys or data.
 */
export class SiloHost {
  readonly name: string;
  #startMessage: StartMessage;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #open: OpenIsolate;
  readonly #logThrottle: Throttle;
  readonly #requests: PendingRequests;
  readonly #sampleQueue: SampleQueue;
  #state: State = { at: 'stopped' };
  readonly #siloStatus: SiloStatusView;
  #acts: AuditAct[] = [];
  /** Quotas kept by the gateway that are reached now. */
  readonly #reached = new Map<QuotaName, QuotaEdge>();
  /** Why the isolate is about to end. */
  #fault: string | null = null;
  #crashedAtMs: number[] = [];
  /** Quarantines in a row. */
  #quarantines = 0;
  /** Starts in a row that reached no silo. */
  #absences = 0;
  #stopDone: (() => void) | undefined;
  /** The isolate receives samples. */
  #isTaking = false;
  /** The isolate stops by itself and receives nothing more. */
  #isLeaving = false;

  constructor(
    startMessage: StartMessage,
    sampleQueue: SampleQueue,
    { clock, logger, openIsolate: open = openIsolate }: SiloHostDependencies,
  ) {
    this.name = startMessage.options.name;
    this.#startMessage = startMessage;
    this.#sampleQueue = sampleQueue;
    this.#clock = clock;
    this.#logger = logger.with({ silo: this.name });
    this.#open = open;
    this.#logThrottle = new Throttle(logLines, clock.monotonicMs());
    this.#requests = new PendingRequests(clock, () => this.#unreachable());
    this.#siloStatus = new SiloStatusView(startMessage, clock);
  }

  get devices(): DeviceDescription[] {
    return this.#startMessage.devices;
  }

  /** Quotas kept by the gateway that are reached now, for the host that replaces this one. */
  get reached(): QuotaEdge[] {
    return [...this.#reached.values()];
  }

  start(): void {
    this.#fault = null;
    this.#isLeaving = false;
    try {
      const isolate = this.#open(this.#startMessage, this.#clock, this.#logger, {
        message: (message) => this.#receive(message),
        usage: (usage) => this.#siloStatus.measured(usage),
        leaving: () => {
          this.#isLeaving = true;
          this.#sampleQueue.shut();
        },
        fault: (reason) => {
          this.#fault ??= reason;
        },
        ended: (end) => this.#ended(end),
      });
      this.#state = { at: 'running', isolate, sinceMs: this.#clock.monotonicMs() };
    } catch (error) {
      // No thread, process or descriptor left: a shortage of the box, which may pass.
      this.#fault = describeError(error);
      return this.#ended('absent');
    }
    this.#post({ type: 'start', startMessage: this.#startMessage });
  }

  /** Restarts a quarantined silo at once; does nothing in any other state. */
  revive(): void {
    if (this.#state.at !== 'quarantined') return;
    this.#state.cancel();
    this.#quarantines = 0;
    this.#tryAgain();
  }

  status(): SiloStatus {
    return this.#siloStatus.status;
  }

  /** Has the silo note an act in its audit log; if it is down, once it is back. */
  record(act: AuditAct): void {
    if (this.#isServing) return this.#post({ type: 'record', act });
    if (this.#acts.length < actsMax) this.#acts.push(act);
    else this.#logger.warn('an act is not in the audit log: too many wait', { kind: act.kind });
  }

  /** Tells the silo that a quota kept by the gateway is reached or clear; if it is down, once it is back. */
  quota(edge: QuotaEdge): void {
    if (edge.state === 'reached') this.#reached.set(edge.quota, edge);
    else this.#reached.delete(edge.quota);
    if (this.#isServing) this.#post({ type: 'quota', ...edge });
  }

  /** Gives the silo its new devices, now or with its next start. */
  describe({ devices, configSha256 }: SiloDevices): void {
    this.#startMessage = { ...this.#startMessage, devices, configSha256 };
    this.#post({ type: 'devices', devices, configSha256 });
  }

  /** Returns the silo's answer; throws SiloCrashed if it is down, does not answer, or the request fails. */
  async request(request: SiloRequest): Promise<number> {
    if (this.#state.at !== 'running') throw this.#unreachable();
    return this.#requests.ask((id) => this.#post({ type: 'request', id, ...request }));
  }

  /** Rejects all pending requests. */
  abort(): void {
    this.#requests.rejectAll();
  }

  /** Resolves when the isolate is gone; terminates it after `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    const state = this.#state;
    if (state.at === 'stopping') return state.gone;
    if (state.at === 'pausing' || state.at === 'quarantined') state.cancel();
    if (state.at !== 'running') {
      this.#state = { at: 'stopped' };
      return;
    }
    this.#sampleQueue.shut();
    this.#reportLosses();
    const { isolate } = state;
    const gone = new Promise<void>((resolve) => {
      this.#stopDone = resolve;
    });
    this.#post({ type: 'stop' });
    this.#state = { at: 'stopping', isolate, gone };
    const cancel = this.#clock.after(deadlineMs, () => {
      this.#logger.error('silo did not stop in time and is ended', { deadlineMs });
      isolate.end();
    });
    await gone;
    cancel();
  }

  #post(message: ToSilo): void {
    if (this.#state.at === 'running') this.#state.isolate.post(message);
  }

  #receive(message: FromSilo): void {
    this.#absences = 0;
    switch (message.type) {
      case 'credit':
        if (!this.#sampleQueue.settle(message.readings))
          this.#terminate('invalid credit: more readings than it was given');
        return;
      case 'status':
        this.#show(message.status);
        return this.#reportLosses();
      case 'reply':
        return this.#answered(message);
      case 'log':
        return this.#log(message);
      case 'stopped':
        return;
    }
  }

  #answered({ id, batches, fault }: Extract<FromSilo, { type: 'reply' }>): void {
    if (fault === null) return this.#requests.resolve(id, batches);
    this.#requests.reject(
      id,
      new MerestoneError('SiloCrashed', fault, { subject: this.name, retryable: true }),
    );
  }

  #reportLosses(): void {
    if (!this.#isTaking) return;
    for (const { samples, from, to, reason } of this.#sampleQueue.takeLosses()) {
      this.#post({ type: 'lost', reason, samples, from, to });
    }
  }

  /** The silo has sent a status and accepts messages. */
  get #isServing(): boolean {
    return this.#state.at === 'running' && ['running', 'refused'].includes(this.#siloStatus.status.state);
  }

  #show(status: SiloStatus): void {
    const wasServing = this.#isServing;
    if (!this.#siloStatus.show(status))
      return this.#terminate('it gave itself out as another tenant or gateway');
    if (this.#state.at !== 'running') return;
    if (!wasServing && this.#isServing) this.#reportQueued();
    this.#setReceiver(status, this.#state.isolate);
  }

  /** Samples go only to a silo that runs under its tenant's name. */
  #setReceiver({ state, tenant }: SiloStatus, isolate: Isolate): void {
    if (this.#isLeaving) return;
    const wasTaking = this.#isTaking;
    this.#isTaking = state === 'running' && tenant !== null;
    if (state === 'refused') return this.#sampleQueue.close('no-identity');
    if (state !== 'running' || tenant === null) return this.#sampleQueue.shut();
    if (wasTaking) return;
    this.#sampleQueue.open({
      tenant,
      give: (samples) => isolate.post({ type: 'samples', samples }),
      isCongested: () => isolate.isCongested,
    });
  }

  #reportQueued(): void {
    for (const act of this.#acts.splice(0)) this.#post({ type: 'record', act });
    for (const edge of this.#reached.values()) this.#post({ type: 'quota', ...edge });
  }

  #terminate(reason: string): void {
    this.#fault = reason;
    this.#isLeaving = true;
    this.#sampleQueue.shut();
    if (this.#state.at === 'running') this.#state.isolate.end();
  }

  #log({ level, event, fields }: Extract<FromSilo, { type: 'log' }>): void {
    const { pass, suppressed } = this.#logThrottle.take(this.#clock.monotonicMs());
    if (suppressed > 0) this.#logger.warn('log lines left out', { lines: suppressed });
    if (pass) this.#logger[level](event, fields);
  }

  #ended(end: IsolateEnd): void {
    this.#requests.rejectAll();
    this.#siloStatus.gone();
    this.#isTaking = false;
    this.#sampleQueue.giveUpInHand();
    if (this.#state.at === 'stopping') {
      this.#state = { at: 'stopped' };
      this.#siloStatus.down('stopped', null);
      return this.#stopDone?.();
    }
    const livedMs = this.#state.at === 'running' ? this.#clock.monotonicMs() - this.#state.sinceMs : 0;
    this.#sampleQueue.shut();
    switch (end) {
      case 'crashed':
        this.#siloStatus.restarted();
        return this.#crashed(livedMs);
      case 'left':
        this.#siloStatus.restarted();
        if (livedMs >= shortRunMs) return this.#pause(1, 'it stopped by itself, and is restarted');
        this.#fault ??= 'it took leave unasked, as soon as it was there';
        return this.#crashed(livedMs);
      case 'absent':
        this.#absences += 1;
        return this.#pause(this.#absences, this.#fault ?? 'its process does not answer');
    }
  }

  #crashed(livedMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const reason = this.#fault ?? 'it went by itself';
    this.#crashedAtMs = [...this.#crashedAtMs.filter((at) => nowMs - at < crashWindowMs), nowMs];
    if (this.#crashedAtMs.length < crashesMax) {
      return this.#pause(this.#crashedAtMs.length, `crashed: ${reason}`);
    }
    if (livedMs >= quarantinePause.maxMs) this.#quarantines = 0;
    this.#quarantines += 1;
    const pauseMs = backoffMs(this.#quarantines, quarantinePause, Math.random());
    this.#state = { at: 'quarantined', cancel: this.#clock.after(pauseMs, () => this.#tryAgain()) };
    this.#sampleQueue.close('crash');
    const times = `crashed ${crashesMax} times in ten minutes`;
    const again = `it is tried again after ${formatDuration(Math.round(pauseMs / 60_000) * 60_000)}, or by 'merestone reload'`;
    this.#setDown('quarantined', `${times}; the last time: ${reason}; ${again}`);
  }

  #tryAgain(): void {
    this.#crashedAtMs = [];
    this.#sampleQueue.shut();
    this.start();
  }

  #pause(attempt: number, reason: string): void {
    const pauseMs = backoffMs(attempt, restartPause, Math.random());
    this.#setDown('restarting', reason);
    this.#state = { at: 'pausing', cancel: this.#clock.after(pauseMs, () => this.start()) };
  }

  #setDown(state: SiloStatus['state'], reason: string): void {
    if (this.#siloStatus.down(state, reason)) this.#logger.error('silo is down', { state, reason });
  }

  #unreachable(): MerestoneError {
    return new MerestoneError('SiloCrashed', `it is ${this.#siloStatus.status.state} and does not answer`, {
      subject: this.name,
      retryable: true,
    });
  }
}
