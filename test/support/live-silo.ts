import type { Clock } from '../../src/base/clock.ts';
import type { LogRecord } from '../../src/base/logger.ts';
import type { SiloStatus } from '../../src/status/status.ts';
import type { FromSilo } from '../../src/silo/protocol.ts';
import { Silo } from '../../src/silo/tenant/silo.ts';
import { siloStartMessage, type SiloChanges, siloSamples } from './silo-options.ts';
import { until } from './until.ts';

/** A silo in this process with a real spool and a real broker, by a clock that may run faster. */
export class LiveSilo implements AsyncDisposable {
  readonly log: Pick<LogRecord, 'level' | 'event' | 'fields'>[] = [];
  readonly replies: Extract<FromSilo, { type: 'reply' }>[] = [];
  readonly #silo: Silo;
  readonly #clock: Clock;
  #status: SiloStatus | undefined;
  #fed: number;

  /** `folder` holds the silo's certificates, and takes its state. `fed`: samples that one before it was given. */
  static async start(folder: string, clock: Clock, changes: SiloChanges, fed = 0): Promise<LiveSilo> {
    const live = new LiveSilo(folder, clock, changes, fed);
    await live.#silo.start();
    return live;
  }

  private constructor(folder: string, clock: Clock, changes: SiloChanges, fed: number) {
    this.#clock = clock;
    this.#fed = fed;
    const channel = {
      post: (message: FromSilo) => this.#hear(message),
      onMessage: () => {},
      close: () => {},
    };
    const time = { clock, bootId: 'boot', synchronized: () => true, setFromHardware: true };
    this.#silo = new Silo(siloStartMessage(folder, changes), channel, clock, time);
  }

  get status(): SiloStatus {
    if (this.#status === undefined) throw new Error('no status yet');
    return this.#status;
  }

  /** Batches that the broker has acknowledged. */
  get accepted(): number {
    return this.#status?.uplink?.batches.accepted ?? 0;
  }

  /** Samples that it was given. */
  get fed(): number {
    return this.#fed;
  }

  /** One sample of `points` numbers, each of a few digits. */
  async feed(points: number): Promise<void> {
    const now = { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs() };
    this.#fed += 1;
    const values = Object.fromEntries(
      Array.from({ length: points }, (_, index) => [`point_${index}`, this.#fed + index / 100]),
    );
    await this.#silo.handle({
      type: 'samples',
      samples: siloSamples(1, now, { ...values, number: this.#fed }),
    });
  }

  /** Requests, as an operator does, that the quarantined batches are sent once more. */
  retry(by: string): Promise<void> {
    return this.#silo.handle({ type: 'request', id: 1, method: 'retry', by });
  }

  async reached(condition: (status: SiloStatus) => boolean, what: string): Promise<void> {
    await until(() => this.#status !== undefined && condition(this.#status), what).catch((error: Error) => {
      throw new Error(
        `${error.message}; it is ${JSON.stringify([this.#status?.uplink, this.#status?.spool])}`,
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#silo.handle({ type: 'stop' });
  }

  #hear(message: FromSilo): void {
    if (message.type === 'status') this.#status = message.status;
    if (message.type === 'log') this.log.push(message);
    if (message.type === 'reply') this.replies.push(message);
  }
}
