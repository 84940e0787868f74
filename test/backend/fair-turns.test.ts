import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FairTurns } from '../../src/backend/fair-turns.ts';

/** Serves until nothing waits or `turnsMax`; each turn of a name costs what `costOf` says. */
function serve(turns: FairTurns, costOf: (name: string) => number, turnsMax = Infinity): string[] {
  const served: string[] = [];
  for (let turn = 0; turn < turnsMax; turn++) {
    const name = turns.next();
    if (name === undefined) break;
    served.push(name);
    turns.charge(name, costOf(name));
  }
  return served;
}

describe('fair turns', () => {
  it('go to a late tenant with few messages before the rest of a flood', () => {
    const turns = new FairTurns();
    turns.add('flood', 10_000);
    serve(turns, () => 5, 100);
    turns.add('late');
    assert.deepEqual(
      serve(turns, () => 5, 2),
      ['late', 'flood'],
    );
  });

  it('are counted in time, not in turns', () => {
    const turns = new FairTurns();
    turns.add('slow', 1000);
    turns.add('quick', 1000);
    const served = serve(turns, (name) => (name === 'slow' ? 100 : 1), 500);
    const slow = served.filter((name) => name === 'slow').length;
    assert.ok(slow >= 4 && slow <= 6, String(slow));
  });

  it('give no credit for a pause: a tenant that returns does not delay the others', () => {
    const turns = new FairTurns();
    turns.add('steady', 1000);
    serve(turns, () => 10, 500);
    turns.add('back', 500);
    const served = serve(turns, () => 10, 100);
    assert.equal(served.filter((name) => name === 'steady').length, 50);
  });

  it('give no second share to a tenant that always leaves with nothing waiting', () => {
    const turns = new FairTurns();
    turns.add('steady', 1000);
    let dodger = 0;
    for (let turn = 0; turn < 200; turn++) {
      turns.add('dodger', turns.waitingOf('dodger') === 0 ? 1 : 0);
      const name = turns.next()!;
      if (name === 'dodger') dodger++;
      turns.charge(name, name === 'dodger' ? 30 : 10);
    }
    assert.ok(dodger >= 45 && dodger <= 55, String(dodger));
  });

  it('serve each tenant at most one turn later than its share, for any order of arrival', () => {
    const costs = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(costs, (costOf) => {
        const turns = new FairTurns();
        for (const index of costOf.keys()) turns.add(`n${index}`, 10_000);
        const used = costOf.map(() => 0);
        for (let turn = 0; turn < 300; turn++) {
          const index = Number(turns.next()!.slice(1));
          used[index]! += costOf[index]!;
          turns.charge(`n${index}`, costOf[index]!);
          assert.ok(Math.max(...used) - Math.min(...used) <= 2 * Math.max(...costOf));
        }
      }),
    );
  });

  it('forget a tenant once it is even', () => {
    const turns = new FairTurns();
    for (let n = 0; n < 1000; n++) {
      turns.add(`n${n}`);
      serve(turns, () => 1);
    }
    turns.add('last');
    assert.equal(turns.waitingOf('n1'), 0);
    assert.deepEqual(
      serve(turns, () => 1),
      ['last'],
    );
  });
});
