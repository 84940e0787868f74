import { Worker } from 'node:worker_threads';
import { backoffMs } from '../base/backoff.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { DeviceDescription } from '../reading/point.ts';
import { readingsOf, type Sample } from '../reading/sample.ts';
import type { SiloStatus } from '../reading/status.ts';
import { LossAccount } from '../silo/loss-account.ts';
import type { FromSilo, LossReason, SiloBirth, SiloMethod, ToSilo } from '../silo/protocol.ts';

/** Ten seconds at the rate the gateway is built for (10,000 readings/s): longer than any fsync, some 20 MB. */
const creditReadingsMax = 100_000;
/** A silo that crashes this often within the window is left alone until the gateway restarts. */
const crashesMax = 5;
const crashWindowMs = 600_000;
const restartPause = { initialMs: 500, maxMs: 30_000, jitter: 0.2 };
/** Three semi-spaces of 2 MB: readings are short-lived, and a larger nursery is only touched, not needed. */
const maxYoungGenerationSizeMb = 6;
/** Requests are answered within a turn of the silo's loop; a disk may hold that up for some seconds. */
const requestTimeoutMs = 10_000;

type Stage =
  | { at: 'running'; worker: Worker }
  | { at: 'pausing'; cancel: Cancel }
  | { at: 'quarantined' }
  | { at: 'stopping'; worker: Worker }
  | { at: 'stopped' };

interface PendingRequest {
  resolve(result: unknown): void;
  reject(error: Error): void;
  cancelTimeout: Cancel;
}

/**
 * Keeps one silo's isolate alive from outside the wall: starts it, gives it no more than it can take, starts
 * it anew after a crash. It knows the silo's label and figures, and none of its keys or data.
 */
export class SiloHost {
  readonly name: string;
  readonly #birth: SiloBirth;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #requests = new Map<number, PendingRequest>();
  readonly #losses = new LossAccount();
  #stage: Stage = { at: 'stopped' };
  #status: SiloStatus;
  /** Samples that wait for the isolate to be there again. */
  #queue: Sample[] = [];
  #queuedReadings = 0;
  /** Posted, and not yet settled by the silo. */
  #outstanding = { readings: 0, samples: 0, since: 0 };
  #crashedAtMs: number[] = [];
  #restarts = 0;
  #requestId = 0;
  #stopDone: (() => void) | undefined;

  constructor(birth: SiloBirth, clock: Clock, logger: Logger) {
    this.name = birth.options.name;
    this.#birth = birth;
    this.#clock = clock;
    this.#logger = logger.with({ silo: this.name });
    this.#status = blankStatus(this.name);
  }

  get devices(): DeviceDescription[] {
    return this.#birth.devices;
  }

  start(): void {
    const { CREDENTIALS_DIRECTORY: credentials } = process.env;
    const worker = new Worker(new URL('../silo/worker.ts', import.meta.url), {
      name: `silo ${this.name}`,
      // Its own environment: what stands in the gateway's is nobody's business in there.
      env: credentials === undefined ? {} : { CREDENTIALS_DIRECTORY: credentials },
      resourceLimits: { maxOldGenerationSizeMb: this.#birth.options.memoryMbMax, maxYoungGenerationSizeMb },
    });
    this.#stage = { at: 'running', worker };
    worker.on('message', (message: FromSilo) => this.#receive(message));
    worker.on('error', (error) => this.#logger.error('silo crashed', { reason: error.message }));
    worker.once('exit', () => this.#exited(worker));
    this.#post({ type: 'start', birth: this.#birth });
    const waiting = this.#queue;
    this.#queue = [];
    this.#queuedReadings = 0;
    if (waiting.length > 0) this.deliver(waiting);
  }

  /** Hands samples over, or counts them as lost where the silo has not kept up. */
  deliver(samples: Sample[]): void {
    const readings = samples.reduce((sum, sample) => sum + readingsOf(sample), 0);
    if (this.#outstanding.readings + this.#queuedReadings + readings > creditReadingsMax) {
      return this.#lose('overrun', samples.length, samples[0]?.wallMs ?? this.#clock.wallMs());
    }
    if (this.#stage.at === 'pausing') {
      this.#queue.push(...samples);
      this.#queuedReadings += readings;
      return;
    }
    if (this.#stage.at !== 'running') return;
    if (this.#outstanding.samples === 0) this.#outstanding.since = this.#clock.wallMs();
    this.#outstanding.readings += readings;
    this.#outstanding.samples += samples.length;
    this.#post({ type: 'samples', samples });
  }

  status(): SiloStatus {
    return { ...this.#status, restarts: this.#restarts };
  }

  /** Asks the silo; throws SiloCrashed where it is not there or does not answer. */
  request(method: SiloMethod): Promise<unknown> {
    this.#requestId += 1;
    const id = this.#requestId;
    return new Promise((resolve, reject) => {
      const fail = (): void => this.#answer(id, (pending) => pending.reject(this.#unreachable()));
      if (this.#stage.at !== 'running') return reject(this.#unreachable());
      this.#requests.set(id, { resolve, reject, cancelTimeout: this.#clock.after(requestTimeoutMs, fail) });
      this.#post({ type: 'request', id, method });
    });
  }

  /** Resolves when the isolate is gone; by force after `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    const stage = this.#stage;
    if (stage.at === 'pausing') stage.cancel();
    if (stage.at !== 'running') {
      this.#stage = { at: 'stopped' };
      return;
    }
    this.#reportLosses();
    const { worker } = stage;
    const gone = new Promise<void>((resolve) => {
      this.#stopDone = resolve;
    });
    this.#post({ type: 'stop' });
    this.#stage = { at: 'stopping', worker };
    const cancel = this.#clock.after(deadlineMs, () => {
      this.#logger.error('silo did not stop in time and is ended', { deadlineMs });
      void worker.terminate();
    });
    await gone;
    cancel();
  }

  #post(message: ToSilo): void {
    if (this.#stage.at === 'running') this.#stage.worker.postMessage(message);
  }

  #receive(message: FromSilo): void {
    switch (message.type) {
      case 'credit':
        this.#outstanding.readings = Math.max(0, this.#outstanding.readings - message.readings);
        if (this.#outstanding.readings === 0) this.#outstanding.samples = 0;
        return;
      case 'status':
        this.#status = message.status;
        return this.#reportLosses();
      case 'reply':
        return this.#answer(message.id, (pending) => pending.resolve(message.result));
      case 'failure':
        return this.#answer(message.id, (pending) =>
          pending.reject(new MerestoneError('SiloCrashed', message.message, { subject: this.name })),
        );
      case 'log':
        return this.#logger[message.level](message.event, message.fields);
      case 'stopped':
        return;
    }
  }

  #answer(id: number, settle: (pending: PendingRequest) => void): void {
    const pending = this.#requests.get(id);
    if (pending === undefined) return;
    this.#requests.delete(id);
    pending.cancelTimeout();
    settle(pending);
  }

  #lose(reason: LossReason, samples: number, from: number): void {
    this.#losses.add({ reason, samples, from, to: this.#clock.wallMs() });
  }

  #reportLosses(): void {
    if (this.#stage.at !== 'running') return;
    for (const { samples, from, to, reason } of this.#losses.take()) {
      this.#post({ type: 'lost', reason: reason as LossReason, samples, from, to });
    }
  }

  #exited(worker: Worker): void {
    worker.removeAllListeners();
    for (const id of Array.from(this.#requests.keys())) {
      this.#answer(id, (pending) => pending.reject(this.#unreachable()));
    }
    if (this.#stage.at === 'stopping') {
      this.#stage = { at: 'stopped' };
      this.#status = { ...this.#status, state: 'stopped' };
      return this.#stopDone?.();
    }
    this.#crashed();
  }

  #crashed(): void {
    const nowMs = this.#clock.monotonicMs();
    const { samples, since } = this.#outstanding;
    if (samples > 0) this.#lose('crash', samples, since);
    this.#outstanding = { readings: 0, samples: 0, since: 0 };
    this.#restarts += 1;
    this.#crashedAtMs = [...this.#crashedAtMs.filter((at) => nowMs - at < crashWindowMs), nowMs];
    if (this.#crashedAtMs.length >= crashesMax) {
      this.#stage = { at: 'quarantined' };
      this.#setDown(
        'quarantined',
        `crashed ${crashesMax} times in ten minutes; restart the gateway to try again`,
      );
      return;
    }
    const pauseMs = backoffMs(this.#crashedAtMs.length, restartPause, Math.random());
    this.#setDown('restarting', 'crashed');
    this.#stage = { at: 'pausing', cancel: this.#clock.after(pauseMs, () => this.start()) };
  }

  #setDown(state: SiloStatus['state'], reason: string): void {
    this.#status = { ...this.#status, state, reason };
    this.#logger.error('silo is down', { state, reason });
  }

  #unreachable(): MerestoneError {
    return new MerestoneError('SiloCrashed', `it is ${this.#status.state} and does not answer`, {
      subject: this.name,
      retryable: true,
    });
  }
}

function blankStatus(name: string): SiloStatus {
  return {
    name,
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
    isolation: 'thread',
    usage: null,
    quotas: [],
  };
}
