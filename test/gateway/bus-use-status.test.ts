import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withBusUse } from '../../src/gateway/bus-use-status.ts';
import type { QuotaStatus } from '../../src/status/status.ts';
import { busStatus, siloStatus } from '../support/status.ts';

const share: QuotaStatus = { quota: 'bus-share', limit: 0.5, used: 0, state: 'clear' };
const cpu: QuotaStatus = { quota: 'cpu-share', limit: 0.5, used: 0.1, state: 'clear' };
const on = (name: string, shares: Record<string, number>) =>
  busStatus(name, {
    silos: Object.entries(shares).map(([silo, busShare]) => ({
      silo,
      busShare,
      busShareMax: 0.5,
      held: false,
    })),
  });

describe('bus share in a silo’s status', () => {
  it('is the silo’s own share of the bus that it uses most', () => {
    const north = siloStatus('north', { quotas: [share, cpu] });
    const buses = [on('a', { north: 0.1, south: 0.9 }), on('b', { north: 0.3 }), on('c', { south: 1 })];
    assert.deepEqual(withBusUse(north, buses).quotas, [{ ...share, used: 0.3 }, cpu]);
    assert.deepEqual(withBusUse(north, []).quotas, [share, cpu]);
  });
});
