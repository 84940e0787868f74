import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Clock } from '../../src/base/clock.ts';
import { connectServiceManager } from '../../src/gateway/service-manager.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** How often a sign of life was due within ten seconds. The socket leads nowhere, so nobody is told. */
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

describe('the watchdog of a service manager', () => {
  it('is told of life twice in its time', async () => {
    assert.equal(await signsWithin10s('2000000'), 10);
  });

  it('takes no more than ten signs of life a second, and none for what is no time', async () => {
    for (const usec of ['1', '0.001', '150000']) assert.equal(await signsWithin10s(usec), 100, usec);
    for (const usec of ['0', '-1', 'soon', '', '99999999999999999999'])
      assert.equal(await signsWithin10s(usec), 0, usec);
  });
});
