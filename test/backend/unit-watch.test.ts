import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UnitWatch } from '../../src/backend/unit-watch.ts';
import { FakeClock } from '../support/fake-clock.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

describe('rows without units', () => {
  it('are told once for each gateway, when no meta came for ten seconds', () => {
    const clock = new FakeClock();
    const watch = new UnitWatch(clock);
    watch.noteRows({ ...acme, epoch: 'E' } as typeof acme, 3);
    watch.noteRows(acme, 4);
    clock.advance(9000);
    watch.noteRows(beta, 1);
    assert.deepEqual(watch.check(), []);
    clock.advance(1000);
    const [notice, ...others] = watch.check();
    assert.deepEqual(others, []);
    assert.deepEqual([notice!.kind, notice!.severity, notice!.origin], ['no-meta', 'warning', acme]);
    assert.deepEqual(notice!.details, { rows: 7 });
    assert.match(notice!.message, /t\/acme\/acme_gw-0001\/meta/);
    watch.noteRows(acme, 5);
    clock.advance(9000);
    assert.deepEqual(
      watch.check().map(({ origin }) => origin),
      [beta],
    );
    assert.deepEqual(watch.check(), []);
  });

  it('are counted when meta comes after all', () => {
    const clock = new FakeClock();
    const watch = new UnitWatch(clock);
    assert.equal(watch.describe(acme), undefined, 'nothing was written without');
    watch.noteRows(acme, 2);
    watch.noteRows(acme, 2);
    assert.deepEqual(watch.describe(acme)!.details, { rows: 4 });
    assert.equal(watch.describe(acme), undefined);
    clock.advance(60_000);
    assert.deepEqual(watch.check(), []);
  });

  it('of ever more gateways take no more memory than those of ten thousand', () => {
    const clock = new FakeClock();
    const watch = new UnitWatch(clock);
    for (let index = 0; index < 10_100; index += 1) watch.noteRows({ ...acme, gateway: `gw-${index}` }, 1);
    clock.advance(10_000);
    assert.equal(watch.check().length, 10_000);
  });
});
