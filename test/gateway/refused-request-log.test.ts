import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { MerestoneError } from '../../src/base/error.ts';
import { ConfigRefused } from '../../src/config/config-refused.ts';
import { RefusedRequestLog } from '../../src/gateway/refused-request-log.ts';
import type { AuditAct } from '../../src/silo/protocol.ts';
import { RefusalLimit } from '../../src/silo/tenant/refusal-limit.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('refused request log', () => {
  let clock: FakeClock;
  let acts: AuditAct['details'][];
  let notes: RefusedRequestLog;
  beforeEach(() => {
    clock = new FakeClock();
    acts = [];
    notes = new RefusedRequestLog(clock, ({ kind, details }) => {
      assert.equal(kind, 'refused-request');
      acts.push(details);
    });
  });
  const refuse = (error: unknown, by = 'alice', method = 'reload'): void => notes.add({ by, method, error });

  it("gives the number of configuration faults, and nothing of one tenant's configuration", () => {
    const fault = { file: '/north.yaml', line: 1, column: 1, message: "no key 'secret'", hint: 'north' };
    refuse(new ConfigRefused('/north.yaml', [fault]));
    refuse(new ConfigRefused('/north.yaml', [fault, fault]));
    refuse(new MerestoneError('ConfigInvalid', 'north moved', { subject: '/north.yaml', hint: 'north' }));
    refuse(new MerestoneError('FileUnreadable', 'north.key may not be read', { subject: '/north.key' }));
    refuse(new Error('north is undefined'));
    assert.doesNotMatch(JSON.stringify(acts), /north|secret/);
    assert.deepEqual(
      acts.map((details) => ('reason' in details ? details.reason : '')),
      [
        'the configuration has 1 fault',
        'the configuration has 2 faults',
        'it failed (E200)',
        'it failed (E104)',
        'an internal fault',
      ],
    );
  });

  it('truncates the method and reason of a request', () => {
    const method = 'x'.repeat(60_000);
    refuse(new MerestoneError('ControlInvalid', `there is no method '${method}'`), 'alice', method);
    const [details] = acts as { method: string; reason: string }[];
    assert.ok(details!.method.length <= 64 && details!.reason.length <= 200);
  });

  it('notes ten requests a minute one by one and the rest as a number', () => {
    const error = new MerestoneError('ControlInvalid', 'no');
    for (let index = 0; index < 1000; index += 1) refuse(error, `user-${index % 20}`);
    assert.equal(acts.length, 10);
    clock.advance(60_000);
    assert.deepEqual(acts.at(-1), {
      by: 'user-10, user-11, user-12, user-13, user-14, user-15, user-16, user-17',
      method: '-',
      reason: 'more were refused within a minute',
      times: 990,
    });
    clock.advance(600_000);
    assert.equal(acts.length, 11);
    refuse(error);
    assert.equal(acts.length, 12);
  });

  it('reports the counted requests when it closes', () => {
    const error = new MerestoneError('ControlInvalid', 'no');
    for (let index = 0; index < 12; index += 1) refuse(error);
    notes.close();
    assert.equal((acts.at(-1) as { times?: number }).times, 2);
    clock.advance(120_000);
    assert.equal(acts.length, 11);
  });

  it('accounts for every request in a silo’s audit log over hours of a flood', () => {
    const error = new MerestoneError('ControlInvalid', 'no');
    const limit = new RefusalLimit();
    let told = 0;
    let accounted = 0;
    const account = (isLast = false): void => {
      accounted += limit.settle(clock.monotonicMs(), isLast)?.times ?? 0;
      for (; told < acts.length; told += 1) {
        const details = acts[told] as { by: string; method: string; reason: string; times?: number };
        if (limit.admit(details, clock.monotonicMs())) accounted += details.times ?? 1;
      }
    };
    for (let second = 0; second < 7000; second += 1) {
      for (let index = 0; index < 10; index += 1) refuse(error);
      account();
      clock.advance(1000);
    }
    notes.close();
    account();
    account(true);
    assert.equal(accounted, 70_000);
  });
});
