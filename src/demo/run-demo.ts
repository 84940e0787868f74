import { once } from 'node:events';
import { inBackground } from '../base/background.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { DemoBackend } from './demo-backend.ts';
import { GatewayProcess } from './gateway-process.ts';
import { tenants, unitIds } from './tenants.ts';
import type { Child } from './child-process.ts';
import { attack, type Attempt } from './attacker.ts';
import { DemoModel } from './model.ts';
import { Screen } from './screen.ts';
import { openEnvironment, type Environment } from './environment.ts';
import { progressLine, summarize, type Summary } from './demo-summary.ts';
import { view } from './view.ts';

export interface PlayOptions {
  /** Ends by itself this long after both tenants are online; undefined: only a key or a signal ends it. */
  ms: number | undefined;
  /** A full screen, or lines of progress. */
  screen: boolean;
  onProgress: (line: string) => void;
  signal: AbortSignal;
}

/** If it takes longer, the time starts anyway, and the verdict says what is missing. */
const onlineWithinMs = 60_000;
const frameMs = 200;
const progressEveryMs = 2000;
/** What the broker has taken reaches the backend within milliseconds; then nothing more comes. */
const settledAfterMs = 300;
const settleMs = 3000;

/**
 * The room `demo`: the whole path on one screen, without hardware. It makes an environment in a temporary folder
 * (`environment.ts`: certificates, broker, simulated buses), starts the gateway and the backend as child processes, and
 * draws what both report (`model.ts`, `view.ts`). Only `cli/demo.ts` calls it. Invariants: the gateway and the backend
 * are the product's own commands, nothing in them knows of the demo; every child process is stopped and the folder
 * removed at the end, after a fault too. Never throws: what failed is in `failure`.
 */
export async function play(options: PlayOptions): Promise<{ summary: Summary; failure: unknown }> {
  const demo = new DemoRun(options);
  // Even a fault of our own must not leave children behind.
  const onFault = (error: Error): void => demo.fail(error);
  process.on('uncaughtException', onFault);
  let failure: unknown;
  try {
    await demo.run();
  } catch (error) {
    failure = error;
  } finally {
    process.off('uncaughtException', onFault);
  }
  return { summary: demo.summary(failure), failure };
}

class DemoRun {
  readonly #options: PlayOptions;
  readonly #model = new DemoModel(tenants);
  readonly #attempts: Attempt[] = [];
  readonly #ending = new AbortController();
  readonly #startedAtMs = systemClock.monotonicMs();
  #failure: unknown;
  #environment: Environment | undefined;
  /** Actions of the keys run one after the other. */
  #acts: Promise<void> = Promise.resolve();

  constructor(options: PlayOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => this.#ending.abort(), { once: true });
    if (options.signal.aborted) this.#ending.abort();
  }

  async run(): Promise<void> {
    await using parts = new AsyncDisposableStack();
    const stopShowing = this.#show();
    parts.defer(stopShowing);
    const environment = await openEnvironment();
    parts.defer(() => environment.close());
    parts.defer(() => this.#acts);
    this.#environment = environment;
    environment.broker.onRefused = () => (this.#model.refused += 1);

    const backend = new DemoBackend(environment, this.#model);
    parts.defer(() => backend.child.stop());
    this.#endWith(backend.child);
    await backend.ready(this.#ending.signal);
    const gatewayProcess = new GatewayProcess(environment, this.#model);
    parts.defer(() => gatewayProcess.stop());
    this.#endWith(gatewayProcess.child);
    await gatewayProcess.ready(this.#ending.signal);

    await this.#untilOver();
    // From here on a child that ends is expected to.
    this.#ending.abort();
    this.#model.leaving = true;
    await this.#acts;
    await gatewayProcess.stop();
    await this.#settle();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends the demo, cleanly, with the first fault as its reason. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#ending.abort();
  }

  summary(failure: unknown): Summary {
    return summarize(this.#model, this.#attempts, this.#elapsedMs, failure);
  }

  get #over(): boolean {
    return this.#ending.signal.aborted;
  }

  get #elapsedMs(): number {
    return systemClock.monotonicMs() - this.#startedAtMs;
  }

  /** Until a key, a signal or a fault ends it, or `ms` after both tenants were first online. */
  async #untilOver(): Promise<void> {
    const { signal } = this.#ending;
    const deadline = systemClock.monotonicMs() + onlineWithinMs;
    const isOnline = (): boolean =>
      this.#model.tenants.every((tenant) => tenant.status?.uplink?.state === 'online');
    while (!isOnline() && !signal.aborted && systemClock.monotonicMs() < deadline) {
      await sleep(systemClock, frameMs, signal);
    }
    if (isOnline()) this.#act(() => this.#attack());
    const { ms } = this.#options;
    if (ms !== undefined) await sleep(systemClock, ms, signal);
    else if (!signal.aborted) await once(signal, 'abort');
  }

  /** A child that ends before it is asked to ends the demo. */
  #endWith(child: Child): void {
    const watched = child.exited.then(({ code, signal }) => {
      if (this.#over) return;
      const how = `ended with ${code ?? signal}: ${child.lastOutput}`;
      this.fail(new MerestoneError('Internal', how, { subject: child.name }));
    });
    inBackground(watched, (error) => this.fail(error));
  }

  async #settle(): Promise<void> {
    const deadline = systemClock.monotonicMs() + settleMs;
    let rows = -1;
    while (rows !== this.#model.rowCount && systemClock.monotonicMs() < deadline) {
      rows = this.#model.rowCount;
      await sleep(systemClock, settledAfterMs);
    }
  }

  #show(): () => void {
    return this.#options.screen ? this.#showScreen() : this.#showLines();
  }

  #showScreen(): () => void {
    const screen = new Screen((key) => this.#press(key));
    let frame = 0;
    const draw = (): void => {
      this.#model.tick(this.#elapsedMs);
      this.#model.showNextRow();
      screen.draw(view(this.#model, screen.size, this.#elapsedMs, frame));
      frame += 1;
    };
    draw();
    const timer = setInterval(draw, frameMs);
    return () => {
      clearInterval(timer);
      screen.close();
    };
  }

  #showLines(): () => void {
    const timer = setInterval(
      () => this.#options.onProgress(progressLine(this.#model, this.#elapsedMs)),
      progressEveryMs,
    );
    return () => clearInterval(timer);
  }

  #press(key: string): void {
    switch (key) {
      case 'q':
      case 'ctrl-c':
        return this.#ending.abort();
      case 'b':
        return this.#act(() => this.#toggleBroker());
      case 'd':
        return this.#act(() => this.#togglePlug());
      case 'x':
        return this.#act(() => this.#attack());
    }
  }

  #act(action: () => Promise<void> | void): void {
    this.#acts = this.#acts.then(action).catch((error: unknown) => this.fail(error));
  }

  async #toggleBroker(): Promise<void> {
    const broker = this.#environment?.broker;
    if (broker === undefined) return;
    await (broker.listening ? broker.stop() : broker.listen());
    this.#model.brokerUp = broker.listening;
  }

  #togglePlug(): void {
    const unplugged = this.#environment?.unplugged;
    if (unplugged === undefined) return;
    if (!unplugged.delete(unitIds.coldRoom)) unplugged.add(unitIds.coldRoom);
    this.#model.unplugged = unplugged.has(unitIds.coldRoom);
  }

  async #attack(): Promise<void> {
    if (this.#environment !== undefined) this.#attempts.push(await attack(this.#environment));
  }
}
