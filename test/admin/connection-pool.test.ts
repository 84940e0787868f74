import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ConnectionPool } from '../../src/admin/connection-pool.ts';
import { FakeClock } from '../support/fake-clock.ts';

interface Caller {
  peer: string;
  name: string;
  evict(): void;
}

class Rig {
  readonly clock = new FakeClock();
  readonly pool = new ConnectionPool<Caller>({ restingMax: 4, allMax: 8 }, this.clock);
  readonly evicted: string[] = [];

  add(name: string): Caller | undefined {
    const caller = { name, peer: name.charAt(0), evict: () => this.evicted.push(name) };
    return this.pool.add(caller) ? caller : undefined;
  }

  addAll(...names: string[]): (Caller | undefined)[] {
    return names.map((name) => {
      this.clock.advance(1);
      return this.add(name);
    });
  }
}

describe('connection pool', () => {
  it('ends no connection within its first second, unless allMax is reached', () => {
    const rig = new Rig();
    rig.addAll('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8');
    assert.deepEqual(rig.evicted, []);
    rig.addAll('a9');
    assert.deepEqual(rig.evicted, ['a1']);
    rig.clock.advance(1000);
    rig.addAll('b1');
    assert.deepEqual(rig.evicted, ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']);
  });

  it('ends the longest idle connection', () => {
    const rig = new Rig();
    const [first] = rig.addAll('a1', 'a2', 'a3', 'a4');
    rig.clock.advance(1000);
    rig.pool.asked(first!);
    rig.addAll('a5');
    assert.deepEqual(rig.evicted, ['a2']);
  });

  it('ends a connection of the peer that has the most, not an older one of another peer', () => {
    const rig = new Rig();
    rig.addAll('b1', 'a1', 'a2', 'a3');
    rig.clock.advance(1000);
    rig.addAll('c1');
    assert.deepEqual(rig.evicted, ['a1']);
  });

  it('ends a busy connection for a peer that has fewer, but not for its own peer', () => {
    const rig = new Rig();
    const busy = rig.addAll('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8');
    for (const each of busy) rig.pool.hold(each!);
    rig.clock.advance(60_000);
    assert.equal(rig.add('a9'), undefined);
    assert.deepEqual(rig.evicted, []);
    assert.ok(rig.add('b1'));
    assert.deepEqual(rig.evicted, ['a1']);
  });

  it('never exceeds its limit, and does not count closed connections', () => {
    const step = fc.record({
      act: fc.constantFrom('add', 'add', 'add', 'asked', 'hold', 'release', 'remove', 'wait'),
      peer: fc.constantFrom('a', 'b', 'c'),
      which: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const rig = new Rig();
        const callers: Caller[] = [];
        for (const [index, { act, peer, which }] of steps.entries()) {
          const one = callers[which % Math.max(1, callers.length)];
          if (act === 'add') {
            const added = rig.add(`${peer}${index}`);
            if (added !== undefined) callers.push(added);
          } else if (act === 'wait') rig.clock.advance(700);
          else if (one !== undefined) rig.pool[act](one);
          assert.ok(rig.pool.size <= 8);
          assert.ok([...rig.pool].every(({ name }) => !rig.evicted.includes(name)));
        }
        for (const each of callers) rig.pool.remove(each);
        assert.equal(rig.pool.size, 0);
        for (const name of ['x1', 'y1', 'z1', 'w1']) assert.ok(rig.add(name));
        assert.equal(rig.pool.size, 4);
      }),
    );
  });
});
