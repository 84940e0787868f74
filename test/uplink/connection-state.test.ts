import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  idleMs,
  type ConnectionEvent,
  type ConnectionState,
  stableMs,
  transition,
  unstableFailuresMax,
} from '../../src/uplink/connection-state.ts';

const states: Record<string, ConnectionState> = {
  connecting: { kind: 'connecting', failures: 2, reason: 'before' },
  proving: { kind: 'proving', failures: 2, reason: 'before' },
  online: { kind: 'online', failures: 2, sinceMs: 1000 },
  waiting: { kind: 'waiting', failures: 2, reason: 'before' },
  renewing: { kind: 'ending', next: 'connecting' },
  ending: { kind: 'ending', next: 'closed' },
  holding: { kind: 'ending', next: 'held', reason: 'ended' },
  held: { kind: 'held', reason: 'ended' },
  closed: { kind: 'closed' },
};
const events: Record<string, ConnectionEvent> = {
  connected: { kind: 'connected' },
  proved: { kind: 'proved', atMs: 5000 },
  lost: { kind: 'lost', atMs: 5000, reason: 'now' },
  paused: { kind: 'paused' },
  renewed: { kind: 'renewed' },
  held: { kind: 'held', reason: 'ended' },
  stopped: { kind: 'stopped' },
};

/** What each event makes of each state; a dash: nothing. */
const table = `
            connected  proved  lost        paused      renewed     held    stopped
connecting  proving    -       waiting     -           connecting  held    closed
proving     -          online  waiting     -           ending      ending  ending
online      -          -       waiting     -           ending      ending  ending
waiting     -          -       -           connecting  connecting  held    closed
renewing    -          -       connecting  -           -           ending  ending
ending      -          -       closed      -           -           -       ending
holding     -          -       held        -           ending      -       ending
held        -          -       -           -           connecting  -       closed
closed      -          -       -           -           -           -       -
`;

describe('lifecycle of the broker connection', () => {
  const [header, ...rows] = table
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  for (const [name, ...expected] of rows) {
    it(`changes state on every event from ${name}`, () => {
      const state = states[name!]!;
      for (const [column, eventName] of header!.entries()) {
        const after = transition(state, events[eventName]!);
        if (expected[column] === '-') assert.equal(after, state, eventName);
        else assert.equal(after.kind, expected[column], eventName);
      }
    });
  }

  it('keeps saying what is wrong until it is right', () => {
    const lost = transition(states['proving']!, events['lost']!);
    const again = transition(transition(lost, events['paused']!), events['connected']!);
    assert.deepEqual(again, { kind: 'proving', failures: 3, reason: 'now' });
  });

  it('forgets earlier failures after a session that lasted, and not after a short one', () => {
    const online = (failures: number): ConnectionState => ({ kind: 'online', failures, sinceMs: 0 });
    const failuresAfter = (failures: number, atMs: number): number => {
      const after = transition(online(failures), { kind: 'lost', atMs, reason: '' });
      return after.kind === 'waiting' ? after.failures : NaN;
    };
    assert.equal(failuresAfter(50, stableMs), 1);
    assert.equal(failuresAfter(1, stableMs - 1), 2);
    assert.equal(failuresAfter(50, stableMs - 1), unstableFailuresMax);
  });

  it('takes a session in which nothing was taken for no better than none, unless it lasted', () => {
    const failuresAfter = (failures: number, atMs: number): number => {
      const online: ConnectionState = { kind: 'online', failures, sinceMs: 0 };
      const after = transition(online, { kind: 'lost', atMs, reason: '', useless: true });
      return after.kind === 'waiting' ? after.failures : NaN;
    };
    assert.equal(failuresAfter(50, stableMs - 1), 51);
    assert.equal(failuresAfter(50, stableMs), 51);
    assert.equal(failuresAfter(50, idleMs), 1);
  });

  it('ends a stop asked for during a renewal in closed', () => {
    const ending = transition(states['renewing']!, events['stopped']!);
    assert.deepEqual(transition(ending, events['lost']!), { kind: 'closed' });
  });

  it('is closed for good once it is closed, and online only by way of a proof', () => {
    const anyEvents = fc.array(fc.constantFrom(...Object.values(events)), { maxLength: 60 });
    fc.assert(
      fc.property(anyEvents, (run) => {
        let state: ConnectionState = { kind: 'connecting', failures: 0, reason: null };
        for (const event of run) {
          const before: ConnectionState = state;
          state = transition(before, event);
          if (before.kind === 'closed') assert.equal(state.kind, 'closed');
          if (state.kind === 'online' && before.kind !== 'online') {
            assert.equal(before.kind, 'proving');
            assert.equal(event.kind, 'proved');
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
