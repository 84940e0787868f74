import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextLoop } from 'node:timers/promises';
import type { Arrival } from '../../src/backend/arrival.ts';
import { Deliveries, windowMax } from '../../src/backend/deliveries.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** Deliveries whose messages each take as long as `costMs` says, on a clock of their own. */
class Bench {
  readonly clock = new FakeClock();
  readonly store = new StateStore(':memory:', asideLimits);
  /** `tenant seq` in the order in which they were taken. */
  readonly taken: string[] = [];
  /** The same as acknowledged. */
  readonly acknowledged: string[] = [];
  readonly overrun: string[] = [];
  /** Gateways that were reported, as they have to wait. */
  readonly slowed: string[] = [];
  isRefused: (tenant: string, word: string) => boolean = () => false;
  readonly over = new AbortController();
  failure: unknown;
  costMs: (tenant: string) => number = () => 1;
  /** Called within each turn. */
  onTake: (word: string) => void = () => {};
  /** Rows find no way out until it resolves. */
  stuck: Promise<void> | undefined;
  /** Called within each slice. */
  onSlice: (word: string) => void = () => {};
  readonly deliveries: Deliveries;

  constructor(aside = true) {
    this.deliveries = new Deliveries({
      clock: this.clock,
      parked: aside ? this.store.parked : undefined,
      take: async ({ topic, payload }, breathe) => {
        const [, tenant] = topic.split('/');
        // In slices of a millisecond.
        for (let left = this.costMs(tenant!); left > 0; left--) {
          this.clock.advance(1);
          this.onSlice(`${tenant} ${payload.toString().trim()}`);
          await breathe();
        }
        await this.stuck;
        this.taken.push(`${tenant} ${payload.toString().trim()}`);
        this.onTake(this.taken.at(-1)!);
        return this.isRefused(tenant!, payload.toString().trim());
      },
      onSlowed: ({ tenant, gateway }) => this.slowed.push(`${tenant}/${gateway}`),
      onOverrun: ({ tenant }, { payload }) => this.overrun.push(`${tenant} ${payload.toString().trim()}`),
      onFailed: (error) => (this.failure = error),
      signal: this.over.signal,
    });
  }

  offer(tenant: string, seq: number, bytes = 10, gateway = 'gw'): void {
    const payload = Buffer.from(String(seq).padEnd(bytes));
    const arrival: Arrival = {
      topic: `t/${tenant}/${gateway}/telemetry`,
      payload,
      properties: {},
      again: false,
    };
    this.deliveries.offer(arrival, () => this.acknowledged.push(`${tenant} ${seq}`));
  }

  async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 100_000 && !condition(); turn++) await nextLoop();
    assert.ok(condition(), `never; taken ${this.taken.length}, acknowledged ${this.acknowledged.length}`);
  }

  async end(): Promise<void> {
    this.over.abort();
    await this.deliveries.ended;
    this.store.close();
  }
}

describe('deliveries', () => {
  it('are taken one by one and acknowledged in the order in which they came', async () => {
    const bench = new Bench();
    for (let seq = 1; seq <= 100; seq++) bench.offer('acme', seq);
    await bench.until(() => bench.taken.length === 100);
    const expected = Array.from({ length: 100 }, (_, index) => `acme ${index + 1}`);
    assert.deepEqual(bench.taken, expected);
    assert.deepEqual(bench.acknowledged, expected);
    await bench.end();
  });

  it('of one tenant alone keep the broker waiting, and nothing is set aside', async () => {
    const bench = new Bench();
    for (let seq = 1; seq <= windowMax; seq++) bench.offer('acme', seq);
    let room = false;
    void bench.deliveries.room()?.then(() => (room = true));
    await Promise.resolve();
    assert.equal(room, false);
    assert.deepEqual(bench.store.parked.waiting(), []);
    await bench.until(() => room && bench.acknowledged.length > 0);
    await bench.until(() => bench.taken.length === windowMax);
    await bench.end();
  });

  it('of a flood wait aside, acknowledged, while another tenant’s are taken as they come', async () => {
    const bench = new Bench();
    bench.costMs = (tenant) => (tenant === 'flood' ? 50 : 1);
    bench.offer('quiet', 0);
    await bench.until(() => bench.acknowledged.length === 1);
    const waits: number[] = [];
    let sent = 0;
    const sentAt = new Map<string, number>();
    bench.onTake = (word) => {
      const since = sentAt.get(word);
      if (since !== undefined) waits.push(bench.clock.monotonicMs() - since);
      // In every turn of the flood comes more of it than a turn can take, and a message of the quiet one.
      if (!word.startsWith('flood') || sent >= 100) return;
      sent++;
      for (let more = 0; more < 20; more++) bench.offer('flood', sent * 20 + more);
      sentAt.set(`quiet ${sent}`, bench.clock.monotonicMs());
      bench.offer('quiet', sent);
    };
    for (let seq = 0; seq < 20; seq++) bench.offer('flood', seq);
    await bench.until(() => bench.taken.filter((word) => word.startsWith('quiet')).length === 101);
    // It waits for no more than the turn in progress, which here is over when it comes.
    assert.ok(Math.max(...waits) <= 2, String(Math.max(...waits)));
    await bench.until(() => bench.acknowledged.filter((word) => word.startsWith('quiet')).length === 101);
    await bench.until(() => bench.taken.length === 101 + 2020);
    const flood = bench.taken.filter((word) => word.startsWith('flood'));
    assert.equal(new Set(flood).size, 2020, 'nothing of the flood is lost');
    assert.deepEqual(
      flood.map((word) => Number(word.slice(6))),
      Array.from({ length: 2020 }, (_, index) => index),
      'and it stays in order',
    );
    assert.deepEqual(bench.overrun, []);
    assert.deepEqual(bench.store.parked.waiting(), []);
    await bench.end();
  });

  it('of four messages in flight hold none that another tenant needs', async () => {
    const bench = new Bench();
    bench.offer('quiet', 0);
    await bench.until(() => bench.taken.length === 1);
    // Twenty in flight, as brokers have them: unacknowledged are never more than a few of the flood.
    let inFlight = 0;
    for (let seq = 1; seq <= 2000; seq++) {
      bench.offer('flood', seq);
      inFlight = Math.max(inFlight, seq + 1 - bench.acknowledged.length);
    }
    assert.ok(inFlight <= 8, String(inFlight));
    await bench.until(() => bench.taken.length === 2001);
    await bench.end();
  });

  it('are dropped and reported if there is no room to set them aside, at no cost to other tenants', async () => {
    const bench = new Bench();
    bench.offer('quiet', 0);
    await bench.until(() => bench.taken.length === 1);
    for (let seq = 1; seq <= 30; seq++) bench.offer('flood', seq, 100_000);
    for (let seq = 1; seq <= 10; seq++) bench.offer('quiet', seq);
    await bench.until(() => bench.taken.filter((word) => word.startsWith('quiet')).length === 11);
    const [flooded, lost] = [bench.taken, bench.overrun].map(
      (words) => words.filter((word) => word.startsWith('flood')).length,
    );
    assert.ok(lost! > 10 && lost! < 30, String(lost));
    await bench.until(() => bench.taken.length + bench.overrun.length === 41);
    assert.ok(flooded! <= 30 - lost!);
    await bench.end();
  });

  it('without a place that outlives us are never acknowledged before they are safe', async () => {
    const bench = new Bench(false);
    bench.offer('quiet', 0);
    for (let seq = 1; seq <= 100; seq++) bench.offer('flood', seq);
    assert.deepEqual(bench.acknowledged, []);
    await bench.until(() => bench.taken.length === 101);
    assert.equal(bench.acknowledged.length, 101);
    await bench.end();
  });

  it('of two gateways of one tenant share its turns', async () => {
    const bench = new Bench();
    bench.offer('quiet', 0);
    await bench.until(() => bench.taken.length === 1);
    for (let seq = 1; seq <= 100; seq++) bench.offer('acme', seq, 10, 'loud');
    bench.offer('acme', 1000, 10, 'soft');
    await bench.until(() => bench.taken.includes('acme 1000'));
    assert.ok(bench.taken.length < 10, String(bench.taken.length));
    await bench.end();
  });

  it('end with the message in hand, and with what cannot be taken', async () => {
    const bench = new Bench();
    bench.onTake = () => bench.over.abort();
    for (let seq = 1; seq <= 10; seq++) bench.offer('acme', seq);
    await bench.deliveries.ended;
    assert.deepEqual([bench.taken, bench.acknowledged], [['acme 1'], ['acme 1']]);
    const failing = new Bench();
    failing.onTake = () => {
      throw new Error('the disk is full');
    };
    failing.offer('acme', 1);
    await failing.until(() => failing.failure !== undefined);
    assert.deepEqual(failing.acknowledged, []);
  });

  it('of one that is long in hand let others’ go in between, and never two of one tenant at once', async () => {
    const bench = new Bench();
    bench.costMs = (tenant) => (tenant === 'long' ? 500 : 1);
    const inHand: string[] = [];
    const waits: number[] = [];
    let sent = 0;
    let sentAt = 0;
    bench.onSlice = (word) => {
      if (word !== 'long 1') return;
      // It comes while the long one is in hand.
      if (sent === waits.length && sent < 50) {
        sentAt = bench.clock.monotonicMs();
        bench.offer('quiet', ++sent);
        bench.offer('long', 1 + sent);
      }
    };
    bench.onTake = (word) => {
      inHand.push(word);
      if (word.startsWith('quiet')) waits.push(bench.clock.monotonicMs() - sentAt);
    };
    bench.offer('long', 1);
    await bench.until(() => bench.taken.length === 101);
    assert.ok(Math.max(...waits) <= 4, String(Math.max(...waits)));
    assert.deepEqual(inHand.slice(0, 51), [
      ...Array.from({ length: 50 }, (_, n) => `quiet ${n + 1}`),
      'long 1',
    ]);
    assert.deepEqual(
      inHand.slice(51),
      Array.from({ length: 50 }, (_, n) => `long ${n + 2}`),
      'one after the other',
    );
    await bench.end();
  });

  it('of several that are long in hand share the time, and a short one waits for none', async () => {
    const bench = new Bench();
    const longs = ['a', 'b', 'c', 'd', 'e', 'f'];
    bench.costMs = (tenant) => (longs.includes(tenant) ? 100 : 1);
    for (let seq = 1; seq <= 5; seq++) for (const tenant of longs) bench.offer(tenant, seq);
    let sentAt = 0;
    const waits: number[] = [];
    bench.onSlice = () => {
      if (sentAt > 0 || waits.length >= 100) return;
      sentAt = bench.clock.monotonicMs();
      bench.offer('quiet', waits.length);
    };
    bench.onTake = (word) => {
      if (!word.startsWith('quiet')) return;
      waits.push(bench.clock.monotonicMs() - sentAt);
      sentAt = 0;
    };
    await bench.until(() => waits.length === 100);
    const sorted = waits.toSorted((a, b) => a - b);
    assert.ok(sorted[50]! <= 8, `median ${sorted[50]}`);
    await bench.until(() => bench.taken.length >= 130);
    await bench.end();
  });

  it('of a gateway whose messages are refused wait aside for a fiftieth of the time, in order', async () => {
    const bench = new Bench();
    bench.costMs = () => 10;
    bench.isRefused = (tenant) => tenant === 'flood';
    const count = (tenant: string): number => bench.taken.filter((word) => word.startsWith(tenant)).length;
    bench.offer('quiet', 0);
    for (let seq = 0; seq < 200; seq++) bench.offer('flood', seq);
    await bench.until(() => bench.slowed.length > 0);
    assert.deepEqual(bench.slowed, ['flood/gw']);
    const before = count('flood');
    const startMs = bench.clock.monotonicMs();
    for (let seq = 1; seq <= 1000; seq++) {
      bench.offer('quiet', seq);
      await bench.until(() => count('quiet') === seq + 1);
    }
    const passedMs = bench.clock.monotonicMs() - startMs;
    const hadMs = (count('flood') - before) * 10;
    assert.ok(hadMs > 0 && hadMs <= passedMs / 25, `${hadMs} ms of ${passedMs}`);
    assert.equal(bench.acknowledged.length, 1201, 'none of them holds an acknowledgement');
    for (let turn = 0; turn < 1000 && count('flood') < 200; turn++) {
      bench.clock.advance(10_000);
      for (let loop = 0; loop < 20; loop++) await nextLoop();
    }
    const flood = bench.taken.filter((word) => word.startsWith('flood'));
    assert.deepEqual(
      flood,
      Array.from({ length: 200 }, (_, seq) => `flood ${seq}`),
    );
    await bench.end();
  });

  it('of a slowed gateway that have no room aside are let go, and the others are taken', async () => {
    const bench = new Bench();
    bench.costMs = () => 20;
    bench.isRefused = (tenant) => tenant === 'flood';
    bench.offer('quiet', 0);
    for (let seq = 0; seq < 60; seq++) bench.offer('flood', seq);
    await bench.until(() => bench.slowed.length === 1);
    for (let seq = 60; seq < 100; seq++) bench.offer('flood', seq, 100_000);
    assert.ok(bench.overrun.length > 0, 'a megabyte is all the room');
    for (let turn = 0; turn < 1000 && bench.store.parked.waiting().length > 0; turn++) {
      bench.clock.advance(10_000);
      for (let loop = 0; loop < 20; loop++) await nextLoop();
    }
    assert.equal(bench.taken.length + bench.overrun.length, 101);
    assert.equal(bench.acknowledged.length, 101);
    await bench.end();
  });

  it('are held back, and neither acknowledged nor let go, while rows find no way out', async () => {
    const bench = new Bench();
    const senders = ['acme', 'beta'];
    for (const tenant of senders) bench.offer(tenant, 0);
    // What lies aside before stays in its place.
    for (let seq = 1; seq <= 100; seq++) bench.offer('acme', seq);
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.stuck = promise;
    for (let turn = 0; turn < 50; turn++) await nextLoop();
    assert.ok(bench.store.parked.waiting().length > 0);
    bench.clock.advance(1000);
    const acknowledged = bench.acknowledged.length;
    for (let seq = 101; seq <= 300; seq++) {
      bench.offer('acme', seq);
      bench.offer('beta', seq - 100, 500_000);
    }
    let mayOffer = false;
    void bench.deliveries.room()?.then(() => (mayOffer = true));
    for (let turn = 0; turn < 1000; turn++) await nextLoop();
    assert.equal(bench.acknowledged.length, acknowledged);
    assert.equal(mayOffer, false);
    assert.deepEqual(bench.overrun, []);
    bench.stuck = undefined;
    resolve();
    await bench.until(() => bench.taken.length === 502);
    for (const [tenant, last] of [
      ['acme', 300],
      ['beta', 200],
    ] as const) {
      const own = bench.taken.filter((word) => word.startsWith(tenant));
      assert.deepEqual(
        own,
        Array.from({ length: last + 1 }, (_, seq) => `${tenant} ${seq}`),
      );
    }
    assert.equal(bench.acknowledged.length, 502);
    assert.deepEqual(bench.overrun, []);
    await bench.end();
  });

  it('that came while a turn of their tenant stood still keep nobody out, though there is no room aside', async () => {
    const bench = new Bench();
    bench.offer('quiet', 0);
    // A megabyte is all the room.
    for (let seq = 0; seq < 12; seq++) bench.offer('flood', seq, 100_000);
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.stuck = promise;
    for (let turn = 0; turn < 50; turn++) await nextLoop();
    bench.clock.advance(1000);
    // All that the broker has in flight is this tenant's, and behind what lies aside.
    for (let seq = 12; seq < windowMax; seq++) bench.offer('flood', seq, 1000);
    const aside = bench.store.parked.waiting().find(({ tenant }) => tenant === 'flood')!.count;
    bench.stuck = undefined;
    resolve();
    const isOpen = (): boolean => bench.acknowledged.length === windowMax + 1;
    await bench.until(isOpen);
    const taken = bench.taken.filter((word) => word.startsWith('flood')).length;
    assert.ok(taken < aside, `${taken} of ${aside} were taken before others were let in`);
    bench.offer('quiet', 1);
    await bench.until(() => bench.taken.includes('quiet 1'));
    await bench.until(() => bench.taken.length + bench.overrun.length === windowMax + 2);
    assert.ok(bench.overrun.length < 12, 'what came while it stood still was not let go');
    await bench.end();
  });
});
