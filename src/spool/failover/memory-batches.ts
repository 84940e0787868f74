import type { Clock } from '../../base/clock.ts';
import { type BatchKey, encodeBatch } from '../../messages/telemetry.ts';
import { chainNext, chainStart } from '../../messages/hash-chain.ts';
import type { CheckpointClaims } from '../../messages/checkpoint.ts';
import type { EventBody, LostRun } from '../../messages/event.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import type { BatchRef, LeasedBatch, Settlements } from '../batches/dispatch.ts';
import type { EncodedSample } from '../batches/append.ts';
import type { Head } from '../state/ledger.ts';
import type { SpoolOptions } from '../options.ts';
import { compress } from '../sealing/sealed-batch.ts';
import { ulid } from '../../base/ulid.ts';

/** Samples that were given up, with the times of the first and the last. */
export interface GivenUp {
  samples: number;
  from: number;
  to: number;
}

/** A batch that has its number: it is sent until the broker has it. */
interface NumberedBatch {
  batch: LeasedBatch;
  run: LostRun;
  isLeased: boolean;
  bytes: number;
}

export interface MemoryOptions {
  /** JSON bytes of all batches. */
  bytesMax: number;
  whenFull: SpoolOptions['whenFull'];
}

/**
 * Batches for as long as no disk takes them. They are numbered in an epoch of their own, which ends with the process:
 * even if the process is killed, no number of the spool's epoch is given twice, and no chain forks.
 *
 * 1. A batch is numbered when it is sent for the first time. One that was never sent has no number, and goes to the
 *    disk like any other when there is one again.
 * 2. One that has its number is sent under it until the broker has it.
 * 3. All together stay under `bytesMax`. What is given up for that has no number either, and is counted.
 */
export class MemoryBatches {
  readonly #origin: OwnedOrigin;
  readonly #options: MemoryOptions;
  readonly #clock: Clock;
  readonly #numbered = new Map<string, NumberedBatch>();
  #waiting: { samples: readonly EncodedSample[]; bytes: number }[] = [];
  #bytes = 0;
  #head: Head;
  #signedSeq = 0;
  #checkpoint: string | undefined;

  constructor(origin: OwnedOrigin, options: MemoryOptions, clock: Clock) {
    this.#origin = origin;
    this.#options = options;
    this.#clock = clock;
    this.#head = {
      epoch: ulid(clock.wallMs()),
      seq: 0,
      chain: chainStart.toString('hex'),
      samples: 0,
      from: null,
      to: null,
    };
  }

  get head(): Head {
    return this.#head;
  }

  /** Batches, with a number or without. */
  get count(): number {
    return this.#waiting.length + this.#numbered.size;
  }

  /** Batches that were never sent. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get samples(): number {
    const numbered = [...this.#numbered.values()].reduce((sum, { batch }) => sum + batch.samples, 0);
    return numbered + this.#waiting.reduce((sum, { samples }) => sum + samples.length, 0);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes one in; what was given up for it, or instead of it. */
  add(samples: readonly EncodedSample[]): GivenUp[] {
    const bytes = samples.reduce((sum, { json }) => sum + json.length + 1, 0);
    const givenUp: GivenUp[] = [];
    while (this.#bytes + bytes > this.#options.bytesMax) {
      const oldest = this.#options.whenFull === 'drop-oldest' ? this.#waiting.shift() : undefined;
      if (oldest === undefined) return [...givenUp, describe(samples)];
      this.#bytes -= oldest.bytes;
      givenUp.push(describe(oldest.samples));
    }
    this.#waiting.push({ samples, bytes });
    this.#bytes += bytes;
    return givenUp;
  }

  /** Up to `count` batches in their order, numbered now where they were not. */
  lease(count: number): LeasedBatch[] {
    const returned = [...this.#numbered.values()].filter(({ isLeased }) => !isLeased).slice(0, count);
    for (const each of returned) each.isLeased = true;
    const fresh: LeasedBatch[] = [];
    while (returned.length + fresh.length < count && this.#waiting.length > 0) fresh.push(this.#number());
    return [...returned.map(({ batch }) => batch), ...fresh];
  }

  has({ epoch, seq }: BatchRef): boolean {
    return this.#numbered.has(idOf(epoch, seq));
  }

  /** The events for those that the broker will never take. */
  settle({ acked = [], rejected = [], released = [] }: Settlements): EventBody[] {
    for (const ref of acked) this.#remove(ref);
    for (const { epoch, seq } of released) {
      const numbered = this.#numbered.get(idOf(epoch, seq));
      if (numbered !== undefined) numbered.isLeased = false;
    }
    return rejected.flatMap((ref) => {
      const removed = this.#remove(ref);
      return removed === undefined ? [] : [{ kind: 'dropped', reason: ref.reason, ...removed.run }];
    });
  }

  /** The oldest that was never sent; `shift` takes it out. */
  get oldest(): readonly EncodedSample[] | undefined {
    return this.#waiting[0]?.samples;
  }

  shift(): void {
    this.#bytes -= this.#waiting.shift()?.bytes ?? 0;
  }

  /** The events for the end of all that is in memory. Whether a batch in flight arrived is not known. */
  giveUp(reason: string): { givenUp: GivenUp[]; events: EventBody[] } {
    const givenUp = this.#waiting.map(({ samples }) => describe(samples));
    const runs = [...this.#numbered.values()].map(({ run }) => run);
    this.#waiting = [];
    this.#numbered.clear();
    this.#bytes = 0;
    return { givenUp, events: runs.map((run) => ({ kind: 'dropped', reason, ...run })) };
  }

  /** What to sign next, where the head moved since `signed`. */
  checkpointDue(): CheckpointClaims | undefined {
    if (this.#head.seq === this.#signedSeq) return undefined;
    return { v: 1, ...this.#origin, ...this.#head, at: this.#clock.wallMs(), durable: false };
  }

  saveCheckpoint(jws: string, seq: number): void {
    this.#checkpoint = jws;
    this.#signedSeq = seq;
  }

  lastCheckpoint(): string | undefined {
    return this.#checkpoint;
  }

  #number(): LeasedBatch {
    const { samples, bytes } = this.#waiting.shift()!;
    const { epoch, seq: before, chain, samples: samplesBefore, from, to } = this.#head;
    const seq = before + 1;
    const key: BatchKey = { ...this.#origin, epoch, seq };
    const jsons = samples.map(({ json }) => json);
    const payload = encodeBatch(key, jsons, false);
    const chainAfter = chainNext(Buffer.from(chain, 'hex'), payload).toString('hex');
    const own = describe(samples);
    const run: LostRun = {
      epoch,
      seqFrom: seq,
      seqTo: seq,
      batches: 1,
      ...own,
      chainBefore: chain,
      chainAfter,
    };
    this.#head = {
      epoch,
      seq,
      chain: chainAfter,
      samples: samplesBefore + samples.length,
      from: Math.min(from ?? own.from, own.from),
      to: Math.max(to ?? own.to, own.to),
    };
    const batch = { key, payload, compressed: compress(payload), samples: samples.length, durable: false };
    this.#numbered.set(idOf(epoch, seq), { batch, run, isLeased: true, bytes });
    return batch;
  }

  #remove({ epoch, seq }: BatchRef): NumberedBatch | undefined {
    const numbered = this.#numbered.get(idOf(epoch, seq));
    if (numbered === undefined) return undefined;
    this.#numbered.delete(idOf(epoch, seq));
    this.#bytes -= numbered.bytes;
    return numbered;
  }
}

function idOf(epoch: string, seq: number): string {
  return `${epoch}/${seq}`;
}

function describe(samples: readonly EncodedSample[]): GivenUp {
  const times = samples.map(({ ts }) => ts);
  return {
    samples: samples.length,
    from: times.reduce((a, b) => Math.min(a, b)),
    to: times.reduce((a, b) => Math.max(a, b)),
  };
}
