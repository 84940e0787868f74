import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MessageCoalescer } from '../../../src/silo/tenant/message-coalescer.ts';
import type { FromSilo } from '../../../src/silo/protocol.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('message coalescer', () => {
  it('sends one credit for all readings settled in one turn, in its place', async () => {
    const sent: FromSilo[] = [];
    const coalescer = new MessageCoalescer((message) => sent.push(message), new FakeClock());
    for (let batch = 0; batch < 20_000; batch += 1) coalescer.post({ type: 'credit', readings: 5 });
    await Promise.resolve();
    assert.deepEqual(sent, [{ type: 'credit', readings: 100_000 }]);
    coalescer.post({ type: 'credit', readings: 3 });
    coalescer.post({ type: 'stopped' });
    await Promise.resolve();
    assert.deepEqual(sent.slice(1), [{ type: 'credit', readings: 3 }, { type: 'stopped' }]);
  });

  it('limits a flood of log lines', () => {
    const sent: FromSilo[] = [];
    const coalescer = new MessageCoalescer((message) => sent.push(message), new FakeClock());
    for (let line = 0; line < 100_000; line += 1) {
      coalescer.post({ type: 'log', level: 'info', event: 'again', fields: {} });
    }
    assert.equal(sent.length, 400);
  });
});
