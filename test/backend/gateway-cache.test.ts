import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { GatewayCache } from '../../src/backend/gateway-cache.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('gateways in memory', () => {
  it('of a tenant of many heavy ones take room from nobody else', () => {
    const released: string[] = [];
    const cache = new GatewayCache<string>({ gatewaysMax: 100, weightMax: 1e6 }, (name) =>
      released.push(name),
    );
    for (let n = 0; n < 20; n++) cache.add({ tenant: `quiet${n % 5}`, gateway: `gw-${n}` }, `quiet ${n}`);
    for (let n = 0; n < 1000; n++) {
      const origin = { tenant: 'heavy', gateway: `gw-${n}` };
      cache.add(origin, `heavy ${n}`);
      cache.weigh(origin, 90_000);
    }
    assert.equal(released.length, 990, 'ten of the heavy ones fit');
    assert.ok(released.every((name) => name.startsWith('heavy')));
    assert.equal(cache.get({ tenant: 'heavy', gateway: 'gw-999' }), 'heavy 999');
    for (let n = 0; n < 20; n++) {
      assert.equal(cache.get({ tenant: `quiet${n % 5}`, gateway: `gw-${n}` }), `quiet ${n}`);
    }
  });

  it('of a tenant of many light ones take no room from other tenants', () => {
    const released: string[] = [];
    const cache = new GatewayCache<string>({ gatewaysMax: 100, weightMax: 1e9 }, (name) =>
      released.push(name),
    );
    cache.add({ tenant: 'quiet', gateway: 'gw' }, 'quiet');
    for (let n = 0; n < 1000; n++) cache.add({ tenant: 'many', gateway: `gw-${n}` }, `many ${n}`);
    assert.equal(cache.size, 100);
    assert.equal(released[0], 'many 0');
    assert.equal(cache.get({ tenant: 'quiet', gateway: 'gw' }), 'quiet');
  });

  it('have an end, however they are spread over tenants, and the last that were heard are there', () => {
    const step = fc.record({
      tenant: fc.nat(30),
      gateway: fc.nat(5),
      weight: fc.nat(60_000),
      isDeleted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const held = new Set<string>();
        const limits = { gatewaysMax: 20, weightMax: 200_000 };
        const cache = new GatewayCache<string>(limits, (name) => assert.ok(held.delete(name), name));
        for (const { tenant, gateway, weight, isDeleted } of steps) {
          const origin = { tenant: `t${tenant}`, gateway: `gw-${gateway}` };
          const name = `${origin.tenant}/${origin.gateway}`;
          if (isDeleted) {
            assert.equal(cache.delete(origin), held.delete(name) ? name : undefined);
            continue;
          }
          if (cache.get(origin) === undefined) {
            held.add(name);
            cache.add(origin, name);
          }
          cache.weigh(origin, weight);
          assert.equal(cache.get(origin), name, 'it is heard now');
          assert.ok(cache.size <= limits.gatewaysMax);
        }
        assert.deepEqual([...cache.values()].toSorted(), [...held].toSorted());
      }),
    );
  });
});

describe('the state of gateways that leave memory', () => {
  const folder = temporaryDirectory({ after });
  const digest = 'ab'.repeat(32);

  it('is as it was when they are heard again', () => {
    const limits = { gatewaysMax: 2, weightMax: 1e9, seenMax: 100 };
    const store = new StateStore(join(folder, 'state'), asideLimits, limits);
    const released: string[] = [];
    store.listen({ onReleased: ({ gateway }) => released.push(gateway) });
    const keys = Array.from({ length: 5 }, (_, n) => ({ tenant: 'acme', gateway: `gw-${n}`, epoch: 'e' }));
    for (const seq of [1, 2, 4]) {
      for (const key of keys) {
        assert.equal(store.stream(key).takeBatch(seq, digest).kind, 'fresh');
        store.commit({ streams: [key] });
      }
    }
    assert.equal(released.length, 13);
    for (const key of keys) assert.deepEqual(store.stream(key).gaps(), [[3, 3]]);
    store.close();
  });

  for (const [order, seqOf] of [
    ['that avoid round ones', (n: number) => n * 2 + 1],
    ['that go down from the last', (n: number) => Number.MAX_SAFE_INTEGER - n],
  ] as const) {
    it(`has an end also for batches of numbers ${order}`, () => {
      const file = join(folder, `seen-${order}`);
      const limits = { gatewaysMax: 10, weightMax: 1e9, seenMax: 100 };
      const store = new StateStore(file, asideLimits, limits);
      const key = { tenant: 'acme', gateway: 'gw', epoch: 'e' };
      for (let n = 0; n < 2500; n++) {
        store.stream(key).takeBatch(seqOf(n), digest);
        store.commit({ streams: [key] });
      }
      store.close();
      const database = new Database(file, { readonly: true });
      const { count } = database.prepare<[], { count: number }>('SELECT count(*) AS count FROM seen').get()!;
      database.close();
      assert.ok(count >= 100 && count < 100 + 1024, String(count));
    });
  }
});
