import { Worker } from 'node:worker_threads';
import { inBackground } from '../../base/background.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { ToSilo } from '../protocol.ts';
import { admit } from './message-admission.ts';
import { reasonOf } from './process-message.ts';
import type { Isolate, IsolateListener } from './isolate.ts';
import { outwardBytesMax } from './line-channel.ts';
import { messageSize } from './message-size.ts';
import { MessageLimit } from './message-limit.ts';
import { type IsolateLimits, measureEveryMs, type WatchdogThresholds, Watchdog } from './watchdog.ts';

/** Three semi-spaces of 2 MB: readings are short-lived, and a larger nursery is only touched, not needed. */
const maxYoungGenerationSizeMb = 6;

const siloEntry = new URL('../tenant/worker.ts', import.meta.url);

export interface ThreadIsolateOptions {
  name: string;
  limits: IsolateLimits;
  clock: Clock;
  /** For tests: a faulty silo's entry, and the thresholds of its watchdog. */
  rogue?: { entry: URL; thresholds: WatchdogThresholds };
}

/**
 * A silo in a worker thread: its own heap, event loop and environment, and one port. Its CPU and memory are measured
 * from here, and an isolate that takes too much, or hangs, is terminated from here.
 */
export class ThreadIsolate implements Isolate {
  /** A thread's port has no measure of unread messages; the sample queue's bound applies. */
  readonly isCongested = false;
  readonly #worker: Worker;
  readonly #clock: Clock;
  readonly #listener: IsolateListener;
  readonly #watchdog: Watchdog;
  readonly #messageLimit: MessageLimit;
  #lastMessageAtMs: number;
  #left = false;
  /** It is being terminated: messages still in its port are ignored. */
  #isOver = false;
  #measuring = false;
  #cancelMeasuring: Cancel;

  constructor({ name, limits, clock, rogue }: ThreadIsolateOptions, listener: IsolateListener) {
    const { CREDENTIALS_DIRECTORY: credentials } = process.env;
    this.#clock = clock;
    this.#listener = listener;
    this.#lastMessageAtMs = clock.monotonicMs();
    this.#messageLimit = new MessageLimit(this.#lastMessageAtMs);
    this.#watchdog = new Watchdog(limits, this.#lastMessageAtMs, rogue?.thresholds);
    this.#worker = new Worker(rogue?.entry ?? siloEntry, {
      name: `silo ${name}`,
      // Its own environment: it must not see the gateway's.
      env: credentials === undefined ? {} : { CREDENTIALS_DIRECTORY: credentials },
      resourceLimits: {
        maxOldGenerationSizeMb: Math.ceil(limits.memoryBytesMax / 1e6),
        maxYoungGenerationSizeMb,
      },
      // Captured, or a silo could print lines into the gateway's log in another silo's name.
      stdout: true,
      stderr: true,
    });
    // The output is discarded, but it passes through this thread, so it counts.
    for (const output of [this.#worker.stdout, this.#worker.stderr]) {
      output.on('data', (bytes: Buffer) => {
        this.#hears(bytes.length);
      });
    }
    this.#worker.on('message', (message: unknown) => this.#receive(message));
    this.#worker.on('error', (error: unknown) => this.#threw(error));
    this.#worker.once('exit', () => this.#exited());
    this.#cancelMeasuring = clock.after(measureEveryMs, () => this.#measurement());
  }

  post(message: ToSilo): void {
    this.#messageLimit.given();
    this.#worker.postMessage(message);
  }

  end(): void {
    this.#isOver = true;
    this.#cancelMeasuring();
    inBackground(this.#worker.terminate(), (error) => this.#listener.fault(reasonOf(error)));
  }

  #receive(message: unknown): void {
    if (this.#isOver || !this.#hears(messageSize(message, outwardBytesMax))) return;
    const admitted = admit(message);
    if (typeof admitted === 'string') return this.#terminate(admitted);
    if (admitted.type === 'stopped') this.#left = true;
    this.#listener.message(admitted);
  }

  /** Whether the isolate is within its limits; if not, it is terminated before it can fill this process's memory. */
  #hears(bytes: number): boolean {
    if (this.#isOver) return false;
    this.#lastMessageAtMs = this.#clock.monotonicMs();
    const fault = this.#messageLimit.heard(bytes, this.#lastMessageAtMs);
    if (fault !== undefined) this.#terminate(fault);
    return fault === undefined;
  }

  /** Any value can be thrown, even null. */
  #threw(error: unknown): void {
    if (!this.#isOver) this.#listener.fault(reasonOf(error));
  }

  #measurement(): void {
    this.#cancelMeasuring = this.#clock.after(measureEveryMs, () => this.#measurement());
    const fault = this.#watchdog.silence(this.#lastMessageAtMs, this.#clock.monotonicMs());
    if (fault !== undefined) return this.#terminate(fault);
    if (!this.#measuring) inBackground(this.#measure(), (error) => this.#terminate(reasonOf(error)));
  }

  /** V8 answers even for an isolate in an endless loop; for one that waits for a disk, only once it is back. */
  async #measure(): Promise<void> {
    this.#measuring = true;
    try {
      const [cpu, heap] = await Promise.all([this.#worker.cpuUsage(), this.#worker.getHeapStatistics()]);
      if (this.#isOver) return;
      const measurement = {
        cpuMs: (cpu.user + cpu.system) / 1000,
        memoryBytes: heap.used_heap_size + heap.external_memory,
      };
      const { usage, fault } = this.#watchdog.take(measurement, this.#clock.monotonicMs());
      this.#listener.usage(usage);
      this.post({ type: 'usage', usage });
      if (fault !== undefined) this.#terminate(fault);
    } catch {
      // It has ended; 'exit' says so.
    }
    this.#measuring = false;
  }

  #terminate(reason: string): void {
    this.#listener.fault(reason);
    this.end();
  }

  #exited(): void {
    this.#isOver = true;
    this.#cancelMeasuring();
    this.#worker.removeAllListeners();
    this.#listener.ended(this.#left ? 'left' : 'crashed');
  }
}
