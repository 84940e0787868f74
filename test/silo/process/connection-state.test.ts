import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  connectionStates,
  takesRecords,
  transition,
} from '../../../src/silo/process/connection-state.ts';

const events: ConnectionEvent[] = ['start', 'stop', 'leave', 'silence', 'disconnected', 'isolate-ended'];

/** The next state for each of `events`; `-` for none. */
const expected: Record<ConnectionState, string> = {
  waiting: 'running - finishing - over -',
  running: '- ending leaving - abandoned finishing',
  ending: '- - stopping - abandoned finishing',
  leaving: '- stopping - stopping abandoned finishing',
  stopping: '- - - - abandoned finishing',
  abandoned: '- - - - - over',
  finishing: '- - - - over -',
  over: '- - - - - -',
};

interface Walk {
  state: ConnectionState;
  path: ConnectionEvent[];
  actions: ConnectionAction[];
}

/** Every sequence of `length` events from the beginning. */
function walks(length: number): Walk[] {
  if (length === 0) return [{ state: 'waiting', path: [], actions: [] }];
  return walks(length - 1).flatMap(({ state, path, actions }) =>
    events.map((event) => {
      const [next, ...more] = transition(state, event);
      return { state: next, path: [...path, event], actions: [...actions, ...more] };
    }),
  );
}

function count(actions: readonly ConnectionAction[], wanted: ConnectionAction): number {
  return actions.filter((action) => action === wanted).length;
}

describe('the state of a silo process’s connection', () => {
  for (const state of connectionStates) {
    const next = expected[state].split(' ');
    for (const [index, event] of events.entries()) {
      it(`is ${next[index] === '-' ? 'unchanged' : next[index]} after ${event} while ${state}`, () => {
        const [found, ...actions] = transition(state, event);
        assert.equal(found, next[index] === '-' ? state : next[index]);
        if (found === state) assert.deepEqual(actions, []);
      });
    }
  }

  const all = walks(6);

  it('has each isolate begun, stopped and reported at most once', () => {
    assert.equal(all.length, events.length ** 6);
    for (const { path, actions } of all) {
      for (const action of ['begin', 'stop', 'limit', 'finish', 'report-end'] as const)
        assert.ok(count(actions, action) <= 1, `${action} twice: ${path.join(', ')}`);
      if (actions.includes('stop')) assert.ok(actions.indexOf('begin') < actions.indexOf('stop'));
    }
  });

  it('bounds the time of an isolate that the process or the gateway has left', () => {
    for (const { state, path, actions } of all) {
      if (state !== 'leaving' && state !== 'stopping' && state !== 'abandoned') continue;
      assert.equal(count(actions, 'limit'), 1, path.join(', '));
      assert.equal(count(actions, 'stop'), state === 'leaving' ? 0 : 1, path.join(', '));
    }
  });

  it('is over with the isolate and the gateway gone, and says so', () => {
    for (const { state, path, actions } of all)
      assert.equal(count(actions, 'report-end'), state === 'over' ? 1 : 0, path.join(', '));
    for (const from of connectionStates) {
      const [gone] = transition(from, 'disconnected');
      assert.equal(transition(gone, 'isolate-ended')[0], 'over', from);
    }
  });

  it('takes records until the isolate is told to stop', () => {
    for (const { state, path, actions } of all) {
      const ended = ['finishing', 'over'].includes(state);
      const open = actions.includes('begin') && !actions.includes('stop') && !ended;
      assert.equal(takesRecords(state), open, path.join(', '));
    }
  });

  it('ignores a stop before the start, which a later start can still be stopped after', () => {
    assert.deepEqual(transition(transition('waiting', 'stop')[0], 'start'), ['running', 'begin']);
    assert.deepEqual(transition('running', 'stop'), ['ending', 'stop']);
  });
});
