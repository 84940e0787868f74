import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import type { QuotaName, QuotaStatus, SiloStatus } from '../../src/status/status.ts';
import type { FromSilo, StartMessage, ToSilo } from '../../src/silo/protocol.ts';
import { siloSamples } from './silo-options.ts';
import { until } from './until.ts';

const entry = fileURLToPath(new URL('./silo-entry.ts', import.meta.url));

/** A silo that can be killed: in a process of its own, by a clock that begins at `wallMs`. */
export class KillableSilo {
  readonly #child: ChildProcess;
  readonly #aheadMs: number;
  #status: SiloStatus | undefined;

  constructor(startMessage: StartMessage, wallMs: number) {
    this.#aheadMs = wallMs - Date.now();
    this.#child = fork(entry, [String(this.#aheadMs)], { serialization: 'advanced' });
    this.#child.on('message', (message: FromSilo) => {
      if (message.type === 'status') this.#status = message.status;
    });
    this.#send({ type: 'start', startMessage });
  }

  get status(): SiloStatus | undefined {
    return this.#status;
  }

  quota(name: QuotaName): QuotaStatus | undefined {
    return this.#status?.quotas.find(({ quota }) => quota === name);
  }

  /** Waits until the status is as it should be. */
  async shows(what: string, condition: (status: SiloStatus) => boolean): Promise<SiloStatus> {
    await until(() => this.#status !== undefined && condition(this.#status), what, 60_000);
    return this.#status!;
  }

  feed(count: number, values: Readonly<Record<string, number | string>>): void {
    const wallMs = Date.now() + this.#aheadMs;
    const samples = siloSamples(count, { wallMs, monotonicMs: systemClock.monotonicMs() }, values);
    this.#send({ type: 'samples', samples });
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#send({ type: 'stop' });
    await exited;
  }

  #send(message: ToSilo): void {
    this.#child.send(message);
  }
}
