import type { Cancel, Clock } from '../../../base/clock.ts';
import { describeError, MerestoneError } from '../../../base/error.ts';
import { FaultState } from '../../../base/fault-state.ts';
import type { Logger } from '../../../base/logger.ts';
import { readingsOf, type Sample } from '../../../reading/sample.ts';
import type { EncodedSample, Spool } from '../../../spool/spool.ts';
import { batchRowsMax } from '../../../messages/document-limits.ts';
import { Batcher } from './batcher.ts';
import type { SiloOptions } from '../../options.ts';
import type { Timekeeper, UndatedSample } from './timekeeper.ts';

export interface IntakeDependencies {
  clock: Clock;
  logger: Logger;
  spool: Pick<Spool, 'hold' | 'release'> & { enqueue(samples: readonly EncodedSample[]): unknown };
  timekeeper: Timekeeper;
  /** This number of readings is durable, or dropped for good: as many more may follow. */
  settled: (readings: number) => void;
  /** This number of samples is in the spool and waits for the uplink. */
  stored: (samples: number) => void;
  /** The spool has no room for a batch. */
  refused: () => void;
}

/** Retry interval while the disk fails. */
const retryMs = 1000;

/** A closed batch that is about to be stored. Undated batches are kept apart until the clock is known. */
interface ClosedBatch {
  samples: EncodedSample[];
  undated: boolean;
}

/**
 * Where samples enter a silo: they come untagged and leave only inside a batch that names the tenant. Until the clock
 * is good they are kept apart, with the monotonic time that will date them. The gateway's credit, which `settled`
 * returns, bounds the samples in memory.
 */
export class Intake {
  readonly #dependencies: IntakeDependencies;
  readonly #batcher: Batcher;
  readonly #storing: FaultState;
  #openIsUndated = false;
  #openReadings = 0;
  /** Batches that the disk has not stored yet, oldest first. */
  #blocked: ClosedBatch[] = [];
  #blockedReadings = 0;
  #cancelLinger: Cancel | undefined;
  #cancelRetry: Cancel | undefined;

  constructor(options: SiloOptions, dependencies: IntakeDependencies) {
    this.#dependencies = dependencies;
    this.#storing = new FaultState('storing batches', dependencies);
    this.#batcher = new Batcher(options.batch);
  }

  admit(samples: readonly Sample[]): void {
    const nowMs = this.#dependencies.clock.monotonicMs();
    for (const sample of samples) this.#add(sample, nowMs);
    this.#armLinger(nowMs);
  }

  /** Dates the undated samples, once the clock is known or the wait for it is over. */
  timeModeChanged(): void {
    this.flush();
    if (this.#dependencies.timekeeper.mode !== 'unknown') this.dateUndated();
  }

  /** No batch is closed with more JSON bytes of samples from now on. */
  limitBatches(bytesMax: number): void {
    const parts = this.#batcher.limit(bytesMax);
    for (const part of parts) this.#close(part, part === parts.at(-1) ? this.#openReadings : 0);
    if (parts.length > 0) this.#drain();
  }

  dateUndated(): void {
    const { spool, timekeeper } = this.#dependencies;
    let dated = 0;
    spool.release((payload) => {
      const undated = JSON.parse(payload.toString()) as UndatedSample[];
      dated += undated.length;
      return undated.map((each) => encode(timekeeper.date(each)));
    });
    if (dated > 0) this.#dependencies.stored(dated);
  }

  /** Closes the open batch and stores all batches; false if the disk has not stored all. */
  flush(): boolean {
    if (this.#batcher.size > 0) this.#close(this.#batcher.take(), this.#openReadings);
    return this.#drain();
  }

  /** As `flush`, and stops the timers. */
  close(): boolean {
    const clean = this.flush();
    this.#cancelLinger?.();
    this.#cancelRetry?.();
    return clean;
  }

  #add(sample: Sample, nowMs: number): void {
    const { timekeeper } = this.#dependencies;
    const undated = timekeeper.mode === 'unknown';
    if (undated !== this.#openIsUndated) {
      this.flush();
      this.#openIsUndated = undated;
    }
    const readings = readingsOf(sample);
    // A backend takes no larger batch.
    if (this.#openReadings + readings > batchRowsMax) this.flush();
    const entry: UndatedSample = { bootId: timekeeper.bootId, sample };
    const encoded = undated ? { json: JSON.stringify(entry), ts: 0 } : encode(timekeeper.date(entry));
    const readingsBefore = this.#openReadings;
    this.#openReadings += readings;
    const completed = this.#batcher.add(encoded, nowMs);
    if (completed === undefined) return;
    this.#close(completed, this.#batcher.size === 0 ? this.#openReadings : readingsBefore);
    this.#drain();
  }

  #close(samples: EncodedSample[], readings: number): void {
    this.#openReadings -= readings;
    this.#blockedReadings += readings;
    this.#blocked.push({ samples, undated: this.#openIsUndated });
  }

  #drain(): boolean {
    const { settled, stored } = this.#dependencies;
    const { samples, fault } = this.#storeBlocked();
    if (fault === undefined && this.#blockedReadings > 0) {
      const readings = this.#blockedReadings;
      this.#blockedReadings = 0;
      settled(readings);
    }
    // Called last and outside of the try: an error of the listener is not a fault of the disk.
    if (samples > 0) stored(samples);
    return fault === undefined;
  }

  /** Stores what the disk accepts and retries the rest later. `samples`: how many now wait for the uplink. */
  #storeBlocked(): { samples: number; fault?: unknown } {
    const { clock, refused } = this.#dependencies;
    let samples = 0;
    try {
      for (let batch = this.#blocked[0]; batch !== undefined; batch = this.#blocked[0]) {
        samples += this.#store(batch);
        this.#blocked.shift();
      }
      this.#storing.clear();
      return { samples };
    } catch (fault) {
      if (fault instanceof MerestoneError && fault.code === 'SpoolFull') refused();
      this.#storing.fail(describeError(fault));
      this.#cancelRetry?.();
      this.#cancelRetry = clock.after(retryMs, () => this.#drain());
      return { samples, fault };
    }
  }

  /** Stores a batch; returns how many of its samples now wait for the uplink. */
  #store({ samples, undated }: ClosedBatch): number {
    const { spool, refused } = this.#dependencies;
    if (undated) {
      spool.hold(Buffer.from(`[${samples.map((each) => each.json).join(',')}]`));
      return 0;
    }
    if (spool.enqueue(samples) !== undefined) return samples.length;
    refused();
    return 0;
  }

  #armLinger(nowMs: number): void {
    this.#cancelLinger?.();
    const { dueAtMs } = this.#batcher;
    if (dueAtMs === undefined) return;
    this.#cancelLinger = this.#dependencies.clock.after(dueAtMs - nowMs, () => this.flush());
  }
}

function encode(sample: ReturnType<Timekeeper['date']>): EncodedSample {
  return { json: JSON.stringify(sample), ts: sample.ts };
}
