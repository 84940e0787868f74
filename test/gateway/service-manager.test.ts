import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Clock } from '../../src/base/clock.ts';
import { connectServiceManager } from '../../src/gateway/service-manager.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** How many keepalives were due within ten seconds. The socket leads nowhere, so none arrives. */
async function signsWithin10s(watchdogUsec: string): Promise<number> {
  const clock = new FakeClock();
  let signs = 0;
  const counting: Clock = {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, callback) =>
      clock.after(delayMs, () => {
        signs += 1;
        callback();
      }),
  };
  const environment = { NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: watchdogUsec };
  const manager = await connectServiceManager(counting, environment);
  manager.ready();
  await clock.advanceAsync(10_000);
  manager.close();
  assert.equal(clock.timers, 0);
  return signs;
}

describe('keepalives to the service manager', () => {
  it('are sent twice within the watchdog time', async () => {
    assert.equal(await signsWithin10s('2000000'), 10);
  });

  it('are sent at most ten times a second, and not at all for an invalid watchdog time', async () => {
    for (const usec of ['1', '0.001', '150000']) assert.equal(await signsWithin10s(usec), 100, usec);
    for (const usec of ['0', '-1', 'soon', '', '99999999999999999999'])
      assert.equal(await signsWithin10s(usec), 0, usec);
  });
});
