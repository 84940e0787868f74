import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LogLimit } from '../../../src/silo/tenant/log-limit.ts';

const line = { type: 'log', level: 'info', event: 'again', fields: {} } as const;

describe('log lines of a silo', () => {
  it('are sent up to a limit, and the next line reports how many were omitted', () => {
    const limit = new LogLimit(0);
    let out = 0;
    for (let count = 0; count < 100_000; count += 1) out += limit.pass(line, 0).length;
    assert.equal(out, 400);
    const next = limit.pass(line, 1000);
    assert.deepEqual(next, [
      { type: 'log', level: 'warn', event: 'log lines left out in the silo', fields: { lines: 99_600 } },
      line,
    ]);
    assert.deepEqual(limit.pass(line, 1000), [line]);
  });
});
