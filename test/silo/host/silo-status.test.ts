import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SiloStatusView } from '../../../src/silo/host/silo-status.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { siloBirth } from '../../support/silo-options.ts';
import { siloStatus } from '../../support/status.ts';

describe('what the gateway shows of a silo', () => {
  it('is for how long it has been in its state, whatever it says and the wall clock does', () => {
    const clock = new FakeClock();
    const portrait = new SiloStatusView(siloBirth('/nowhere'), clock);
    clock.advance(2000);
    assert.deepEqual([portrait.status.state, portrait.status.forMs], ['starting', 2000]);
    portrait.show(siloStatus('other', { forMs: 77 }));
    clock.setWall(0);
    clock.advance(3000);
    portrait.show(siloStatus('other', { forMs: 99 }));
    clock.advance(1000);
    assert.deepEqual([portrait.status.state, portrait.status.forMs], ['running', 4000]);
    portrait.down('restarting', 'crashed');
    clock.advance(500);
    portrait.down('restarting', 'crashed again');
    assert.deepEqual([portrait.status.state, portrait.status.forMs], ['restarting', 500]);
  });

  it('is not online once its isolate is gone', () => {
    const clock = new FakeClock();
    const portrait = new SiloStatusView(siloBirth('/nowhere'), clock);
    portrait.show(siloStatus('north'));
    portrait.gone();
    assert.deepEqual([portrait.status.uplink?.state, portrait.status.usage], ['closed', null]);
  });
});
