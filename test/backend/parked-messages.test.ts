import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Arrival } from '../../src/backend/arrival.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const second = { tenant: 'acme', gateway: 'acme_gw-0002' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

const arrival = (bytes: number, text = 'x'): Arrival => ({
  topic: 't/acme/acme_gw-0001/telemetry',
  payload: Buffer.from(text.padEnd(bytes)),
  properties: { seq: '1' },
  again: true,
});

describe('messages set aside', () => {
  const folder = temporaryDirectory({ after });

  it('come back as they came and in order, over a restart too', () => {
    const file = join(folder, 'order.state');
    const before = new StateStore(file, asideLimits);
    for (const text of ['one', 'two', 'three'])
      assert.ok(before.parked.keepWaiting(acme, arrival(5, text), 1));
    before.close();
    const store = new StateStore(file, asideLimits);
    assert.deepEqual(store.parked.waiting(), [{ ...acme, count: 3 }]);
    for (const text of ['one', 'two', 'three']) {
      const found = store.parked.oldest(acme)!;
      assert.deepEqual(found.arrival, arrival(5, text));
      store.parked.remove(acme, found.id, found.arrival);
    }
    assert.equal(store.parked.oldest(acme), undefined);
    store.close();
  });

  it('have limited room for each tenant, which is free again when they were taken', () => {
    const { parked: aside } = new StateStore(':memory:', asideLimits);
    let kept = 0;
    while (kept < 100 && aside.keepWaiting(acme, arrival(100_000), 1)) kept++;
    assert.equal(kept, 9);
    assert.equal(aside.keepWaiting(second, arrival(100_000), 1), false, 'a gateway more is no room more');
    assert.ok(aside.keepWaiting(beta, arrival(100_000), 1), 'another tenant has its own');
    const { id, arrival: oldest } = aside.oldest(acme)!;
    aside.remove(acme, id, oldest);
    assert.ok(aside.keepWaiting(acme, arrival(100_000), 1));
  });

  it('that were refused have limited room for each gateway and tenant, counted over a restart', () => {
    const file = join(folder, 'refused.state');
    let store = new StateStore(file, asideLimits);
    const fill = (origin: typeof acme): number => {
      let kept = 0;
      while (kept < 100 && store.parked.keepRefused(origin, arrival(20_000), 1, 'v: 2')) kept++;
      return kept;
    };
    assert.equal(fill(acme), 4);
    store.close();
    store = new StateStore(file, asideLimits);
    assert.equal(fill(acme), 0);
    assert.equal(fill(second), 4);
    assert.equal(fill({ ...acme, gateway: 'third' }), 1, 'what the tenant has left');
    const [first] = store.parked.refused();
    assert.deepEqual(first, {
      id: 1,
      at: 1,
      ...acme,
      topic: arrival(1).topic,
      reason: 'v: 2',
      bytes: 20_000,
    });
    assert.equal(store.parked.release(), 9);
    assert.deepEqual([...store.parked.refused()], []);
    assert.equal(fill(acme), 4, 'released, they take no room of what is refused');
    store.close();
  });

  it('that a power cut damaged are put away, and the state is as it was', () => {
    const file = join(folder, 'cut.state');
    const before = new StateStore(file, asideLimits);
    before.commit({ event: { ...acme, id: 'e1' } });
    for (let n = 0; n < 50; n++) before.parked.keepWaiting(acme, arrival(10_000), 1);
    before.close();
    const bytes = readFileSync(`${file}.aside`);
    bytes.fill(0x55, 4096, 40_000);
    writeFileSync(`${file}.aside`, bytes);
    const store = new StateStore(file, asideLimits);
    assert.match(store.damagedParked!, /cut\.state\.aside\.damaged-\d+$/);
    assert.ok(existsSync(store.damagedParked!));
    assert.deepEqual(store.parked.waiting(), []);
    assert.ok(store.hasEvent({ ...acme, id: 'e1' }));
    assert.ok(store.parked.keepWaiting(acme, arrival(10), 1));
    store.close();
  });
});
