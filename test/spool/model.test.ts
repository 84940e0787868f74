import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { SpoolOptions } from '../../src/spool/options.ts';
import type { Spool } from '../../src/spool/spool.ts';
import { chainNext, chainStart } from '../../src/messages/hash-chain.ts';
import type { EventBody, LostRun, StreamEvent } from '../../src/messages/event.ts';
import { directoryInMemory, openTestSpool, testSample } from '../support/spool.ts';
import { drain } from '../support/spool-damage.ts';
import { ModelSpool } from '../support/spool-model.ts';

/** The least that is allowed: a few dozen batches fill it. */
const bytesMax = 2_000_000;

type Operation =
  | { kind: 'enqueue'; batches: number; samples: number; noise: number }
  | { kind: 'lease'; count: number }
  | { kind: 'settle'; settlements: readonly ('ack' | 'reject' | 'release' | 'silence')[] }
  | { kind: 'note' | 'checkpoint' | 'rotate' | 'reopen' | 'crash' }
  | { kind: 'events'; count: number; taken: boolean };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('enqueue' as const),
      batches: fc.integer({ min: 1, max: 4 }),
      samples: fc.integer({ min: 1, max: 3 }),
      noise: fc.constantFrom(0, 9000, 30_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('lease' as const), count: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      settlements: fc.array(fc.constantFrom('ack', 'ack', 'ack', 'reject', 'release', 'silence'), {
        maxLength: 9,
      }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('note', 'checkpoint', 'rotate', 'reopen', 'crash') }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('events' as const),
      count: fc.integer({ min: 1, max: 5 }),
      taken: fc.boolean(),
    }),
  },
);

/** The spool and its model, side by side. */
class Pair {
  readonly model = new ModelSpool();
  readonly events: StreamEvent[] = [];
  readonly #whenFull: SpoolOptions['whenFull'];
  readonly #parent: string;
  #life = 0;
  #notes = 0;
  #now = 0;
  #spool!: Spool;

  constructor(parent: string, whenFull: SpoolOptions['whenFull']) {
    this.#parent = parent;
    this.#whenFull = whenFull;
  }

  get #directory(): string {
    return join(this.#parent, `life-${this.#life}`);
  }

  async open(): Promise<void> {
    this.#spool = await openTestSpool(this.#directory, { bytesMax, whenFull: this.#whenFull });
    this.model.epoch ||= this.#spool.epoch;
    assert.equal(this.#spool.epoch, this.model.epoch);
  }

  async apply(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case 'enqueue':
        return this.#enqueue(operation);
      case 'lease': {
        const leased = this.#spool.lease(operation.count, 'fifo').map(({ key }) => key.seq);
        return assert.deepEqual(leased, this.model.lease(operation.count));
      }
      case 'settle':
        return this.#settle(operation.settlements);
      case 'events':
        return this.#takeEvents(operation.count, operation.taken);
      case 'note':
        this.#notes += 1;
        this.#spool.note({ kind: 'quota', quota: `q${this.#notes}`, limit: 1, state: 'reached' });
        return this.model.commit();
      case 'checkpoint':
        return this.#checkpoint();
      case 'rotate':
        return this.#spool.rotateKey();
      case 'reopen':
        this.#spool.close();
        this.model.commit();
        this.model.leased.clear();
        return this.open();
      case 'crash':
        return this.#crash();
    }
  }

  assertAlike(): void {
    const { epoch, seq, batches, dropped, quarantined, bytes } = this.#spool.status();
    const { model } = this;
    assert.deepEqual(
      { epoch, seq, batches, dropped, quarantined },
      {
        epoch: model.epoch,
        seq: model.seq,
        batches: model.waiting.size,
        dropped: model.dropped.length,
        quarantined: model.rejected.length,
      },
    );
    assert.ok(bytes <= bytesMax, `${bytes} bytes`);
  }

  /** Delivers all that is left, and holds what became of everything against the model. */
  assertAccountedFor(): void {
    const owed = this.model.waiting;
    this.#spool.settle({ released: [...this.model.leased].map((seq) => ({ epoch: this.model.epoch, seq })) });
    const { delivered, events } = drain(this.#spool);
    this.#spool.close();
    const bySeq = [...delivered].map(([key, payload]) => [Number(key.split('/')[1]), payload] as const);
    assert.deepEqual(digests(bySeq), digests(owed));
    const all = [...this.events, ...events];
    assert.deepEqual(
      this.#reported(all, 'dropped'),
      this.model.dropped.toSorted((a, b) => a - b),
    );
    assert.deepEqual(
      this.#reported(all, 'quarantined'),
      this.model.rejected.toSorted((a, b) => a - b),
    );
    const refused = all.map((event) => (event.kind === 'samples-dropped' ? event.samples : 0));
    assert.equal(
      refused.reduce((a, b) => a + b, 0),
      this.model.refusedSamples,
    );
    assert.equal(all.filter(({ kind }) => kind === 'quota').length, this.#notes);
  }

  #enqueue({ batches, samples, noise }: Extract<Operation, { kind: 'enqueue' }>): void {
    for (let batch = 0; batch < batches; batch += 1) {
      const made = Array.from({ length: samples }, () => testSample((this.#now += 1), noise));
      this.model.commit();
      const key = this.#spool.enqueue(made);
      this.model.drop(this.#spool.status().dropped - this.model.dropped.length);
      if (key === undefined) this.model.refusedSamples += samples;
      else this.model.enqueue(made);
      assert.equal(key?.seq ?? this.model.seq, this.model.seq);
      if (this.#whenFull === 'drop-oldest') assert.ok(key !== undefined);
    }
  }

  #settle(settlements: readonly string[]): void {
    const inFlight = [...this.model.leased].slice(0, settlements.length);
    const of = (verdict: string): { epoch: string; seq: number }[] =>
      inFlight
        .filter((_, index) => settlements[index] === verdict)
        .map((seq) => ({ epoch: this.model.epoch, seq }));
    const rejected = of('reject').map((ref) => ({ ...ref, reason: 'refused' }));
    this.#spool.settle({ acked: of('ack'), rejected, released: of('release') });
    for (const { seq } of of('ack')) this.model.ack(seq);
    for (const { seq } of rejected) this.model.reject(seq);
    if (rejected.length > 0) this.model.commit();
    for (const { seq } of of('release')) this.model.leased.delete(seq);
  }

  #takeEvents(count: number, taken: boolean): void {
    const leased = this.#spool.leaseEvents(count);
    const ids = leased.map(({ id }) => id);
    if (!taken) return this.#spool.releaseEvents(ids);
    this.events.push(...leased.map(({ payload }) => JSON.parse(payload.toString()) as StreamEvent));
    this.#spool.settleEvents(ids);
    this.model.commit();
  }

  #checkpoint(): void {
    const claims = this.#spool.checkpointDue();
    if (claims === undefined) return;
    assert.equal(claims.chain, this.#chainAt(this.model.seq));
    this.#spool.saveCheckpoint('jws', claims.seq);
    this.model.commit();
    assert.equal(this.#spool.checkpointDue(), undefined);
  }

  /** The files as they are at this instant are all that is left of this life. */
  async #crash(): Promise<void> {
    const before = this.#directory;
    this.#life += 1;
    cpSync(before, this.#directory, { recursive: true });
    this.#spool.close();
    this.model.crash();
    await this.open();
  }

  #chainAt(seq: number): string {
    return this.model.payloads.slice(0, seq).reduce(chainNext, chainStart).toString('hex');
  }

  /** The seqs that events of this kind tell of, each run with the chain on both of its sides. */
  #reported(events: readonly EventBody[], kind: 'dropped' | 'quarantined'): number[] {
    const runs = events.filter((event): event is Extract<EventBody, LostRun> => event.kind === kind);
    return runs
      .flatMap((run) => {
        assert.equal(run.chainBefore, this.#chainAt(run.seqFrom - 1));
        assert.equal(run.chainAfter, this.#chainAt(run.seqTo));
        assert.equal(run.batches, run.seqTo - run.seqFrom + 1);
        return Array.from({ length: run.batches }, (_, index) => run.seqFrom + index);
      })
      .toSorted((a, b) => a - b);
  }
}

/** Short, so that a difference can be printed. */
function digests(payloads: Iterable<readonly [number, Buffer]>): (readonly [number, string])[] {
  return [...payloads].map(([seq, payload]) => [seq, createHash('sha256').update(payload).digest('hex')]);
}

describe('the spool and its model', () => {
  for (const whenFull of ['drop-oldest', 'drop-newest'] as const) {
    it(`are alike after any operations, ${whenFull}`, async (t) => {
      const parent = directoryInMemory(t);
      let run = 0;
      const property = fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
        const pair = new Pair(join(parent, String((run += 1))), whenFull);
        await pair.open();
        for (const each of operations) {
          await pair.apply(each);
          pair.assertAlike();
        }
        pair.assertAccountedFor();
      });
      await fc.assert(property, { numRuns: 120 });
    });
  }
});
