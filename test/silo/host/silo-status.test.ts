import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SiloStatusView } from '../../../src/silo/host/silo-status.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { siloStartMessage } from '../../support/silo-options.ts';
import { siloStatus } from '../../support/status.ts';

describe('silo status in the gateway', () => {
  it('measures the time in a state itself, not by the silo’s report or the wall clock', () => {
    const clock = new FakeClock();
    const view = new SiloStatusView(siloStartMessage('/nowhere'), clock);
    clock.advance(2000);
    assert.deepEqual([view.status.state, view.status.forMs], ['starting', 2000]);
    view.show(siloStatus('other', { forMs: 77 }));
    clock.setWall(0);
    clock.advance(3000);
    view.show(siloStatus('other', { forMs: 99 }));
    clock.advance(1000);
    assert.deepEqual([view.status.state, view.status.forMs], ['running', 4000]);
    view.down('restarting', 'crashed');
    clock.advance(500);
    view.down('restarting', 'crashed again');
    assert.deepEqual([view.status.state, view.status.forMs], ['restarting', 500]);
  });

  it('shows a closed uplink once the isolate is gone', () => {
    const clock = new FakeClock();
    const view = new SiloStatusView(siloStartMessage('/nowhere'), clock);
    view.show(siloStatus('north'));
    view.gone();
    assert.deepEqual([view.status.uplink?.state, view.status.usage], ['closed', null]);
  });
});
