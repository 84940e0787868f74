import { join } from 'node:path';
import { sleep, systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { connectControl, type ControlClient } from '../admin/control-client.ts';
import type { GatewayStatus } from '../status/status.ts';
import { Child } from './child-process.ts';
import type { DemoModel } from './model.ts';
import type { Environment } from './environment.ts';

/** A start of Node on a busy machine, with a worker thread a silo. */
const readyWithinMs = 60_000;
const connectEveryMs = 50;
const pollEveryMs = 250;

/** The gateway's side: `merestone run`, watched through its control socket as `status` and `tail` watch it. */
export class GatewayProcess {
  readonly child: Child;
  readonly #environment: Environment;
  readonly #model: DemoModel;
  readonly #leaving = new AbortController();
  #control: ControlClient | undefined;
  #watching: Promise<unknown> = Promise.resolve();

  constructor(environment: Environment, model: DemoModel) {
    this.#environment = environment;
    this.#model = model;
    this.child = new Child(['run', '--config', environment.configFile], {
      logFile: join(environment.directory, 'run.log'),
    });
  }

  /** Resolves once the daemon answers, or on abort. Throws Internal where it ends instead, or takes too long. */
  async ready(signal: AbortSignal): Promise<void> {
    const control = await this.#connect(signal);
    if (control === undefined) return;
    this.#control = control;
    const tail = control.tail(
      {},
      { item: ({ silo, sample }) => this.#model.takeSample(silo, sample), lost: () => {} },
      this.#leaving.signal,
    );
    // Both end with the daemon; the caller that watches the child says why it ended.
    this.#watching = Promise.allSettled([tail, this.#poll(control)]);
  }

  /** Reads the status once more, then stops the daemon. */
  async stop(): Promise<void> {
    if (this.#control !== undefined && this.child.running)
      await this.#pollStatus(this.#control).catch(() => {});
    this.#leaving.abort();
    await this.#watching;
    this.#control?.close();
    await this.child.stop();
  }

  async #connect(signal: AbortSignal): Promise<ControlClient | undefined> {
    const deadline = systemClock.monotonicMs() + readyWithinMs;
    while (!signal.aborted && this.child.running && systemClock.monotonicMs() < deadline) {
      try {
        return await connectControl(join(this.#environment.directory, 'control.sock'));
      } catch {
        await sleep(systemClock, connectEveryMs, signal);
      }
    }
    if (signal.aborted) return undefined;
    throw new MerestoneError('Internal', `the gateway did not start: ${this.child.lastOutput}`);
  }

  async #poll(control: ControlClient): Promise<void> {
    while (!this.#leaving.signal.aborted) {
      await this.#pollStatus(control);
      await sleep(systemClock, pollEveryMs, this.#leaving.signal);
    }
  }

  async #pollStatus(control: ControlClient): Promise<void> {
    this.#model.takeStatus((await control.request('status')) as GatewayStatus);
  }
}
