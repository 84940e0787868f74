import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  allowedAtMs,
  averagedOverMs,
  openBusBudget,
  spend,
} from '../../../src/fieldbus/sharing/bus-share.ts';
import {
  charge,
  type Candidate,
  decide,
  silosOverShare,
  type Ledger,
  openLedger,
} from '../../../src/fieldbus/modbus/polling/scheduler.ts';
import { createSiloUse } from '../../../src/fieldbus/sharing/silo-use.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const silos = ['north', 'south', 'west'];
const deadShareMax = 0.1;

const candidate = fc.record({
  silo: fc.constantFrom(...silos),
  readyAtMs: fc.integer({ min: 0, max: 2000 }),
  deadlineMs: fc.integer({ min: 0, max: 4000 }),
  dead: fc.boolean(),
  begun: fc.boolean(),
  costMs: fc.integer({ min: 0, max: 1000 }),
});
const now = 1000;
const living = { silo: 'south', begun: false, dead: false };

/** What a bus with these devices does over `durationMs`, each asking again as soon as it was answered. */
function run(
  devices: readonly { silo: string; dead: boolean; requests: number; costMs: number; pauseMs: number }[],
  shares: ReadonlyMap<string, number>,
  durationMs: number,
) {
  let ledger: Ledger = openLedger(silos, shares, 0);
  let time = 0;
  const asked: { silo: string; startMs: number; endMs: number }[] = [];
  const states = devices.map((device) => ({ ...device, readyAtMs: 0, left: device.requests }));
  while (time < durationMs) {
    const candidates = states.map(
      ({ silo, dead, readyAtMs, left, requests, costMs }): Candidate => ({
        silo,
        dead,
        costMs,
        readyAtMs,
        begun: left < requests,
        deadlineMs: readyAtMs + 100,
      }),
    );
    const decision = decide(candidates, ledger, 1, time);
    if (decision.kind === 'wait') {
      assert.ok(decision.untilMs > time, 'it would spin');
      time = decision.untilMs;
      continue;
    }
    const state = states[decision.index]!;
    asked.push({ silo: state.silo, startMs: time, endMs: time + state.costMs });
    time += state.costMs;
    ledger = charge(ledger, state, 1, time);
    state.left -= 1;
    if (state.left > 0) continue;
    state.left = state.requests;
    state.readyAtMs = time + state.pauseMs;
  }
  return asked;
}

const device = fc.record({
  silo: fc.constantFrom(...silos),
  dead: fc.boolean(),
  requests: fc.integer({ min: 1, max: 6 }),
  costMs: fc.integer({ min: 5, max: 3000 }),
  pauseMs: fc.integer({ min: 0, max: 2000 }),
});

describe('a silo with a share of the bus', () => {
  it('uses in any period at most its share, one burst and one request', () => {
    fc.assert(
      fc.property(
        fc.array(device, { minLength: 1, maxLength: 8 }),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (devices, share) => {
          const asked = run(devices, new Map([['south', share]]), 60_000).filter(
            ({ silo }) => silo === 'south',
          );
          const longest = Math.max(0, ...asked.map(({ startMs, endMs }) => endMs - startMs));
          // Of all periods that end with a request, the one that exceeds the share most.
          let spentMs = 0;
          let leastMs = Infinity;
          for (const { startMs, endMs } of asked) {
            leastMs = Math.min(leastMs, spentMs - share * startMs);
            spentMs += endMs - startMs;
            const beyondMs = spentMs - share * endMs - leastMs;
            assert.ok(beyondMs <= share * averagedOverMs + longest + 1e-3, `${beyondMs} ms too many`);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('that always asks gets that share, and its neighbour the rest', () => {
    const flood = { dead: false, requests: 1, costMs: 50, pauseMs: 0 };
    for (const share of [0.05, 0.2, 0.5]) {
      const devices = [
        { ...flood, silo: 'south' },
        { ...flood, silo: 'north' },
      ];
      const asked = run(devices, new Map([['south', share]]), 600_000);
      const spent = (silo: string): number =>
        asked.filter((each) => each.silo === silo).reduce((sum, each) => sum + each.endMs - each.startMs, 0);
      assert.ok(Math.abs(spent('south') / 600_000 - share) < 0.01, `${spent('south')} ms of ${share}`);
      assert.ok(spent('south') + spent('north') > 599_000, 'none of it is left unused');
    }
  });

  it('waits, alone on the bus, although no other silo wants it', () => {
    const device = { silo: 'south', dead: false, requests: 1, costMs: 50, pauseMs: 0 };
    const asked = run([device], new Map([['south', 0.2]]), 600_000);
    assert.ok(Math.abs((asked.length * 50) / 600_000 - 0.2) < 0.01);
  });

  it('below its share never waits', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        fc.integer({ min: 1, max: 4999 }),
        (share, burst) => {
          const costMs = burst * share;
          const periodMs = costMs / share + 0.01;
          let budget = openBusBudget(silos, new Map([['south', share]]), 0);
          for (let time = 0; time < 60_000; time += periodMs) {
            assert.equal(allowedAtMs(budget, living, time), time);
            budget = spend(budget, { ...living, costMs }, time);
          }
        },
      ),
    );
  });

  it('of the whole bus is never delayed, for requests of any length', () => {
    const devices = [{ silo: 'south', dead: false, requests: 1, costMs: 30_000, pauseMs: 0 }];
    assert.equal(run(devices, new Map([['south', 1]]), 300_000).length, 10);
  });

  it('finishes a poll that has begun, within a bound', () => {
    const share = 0.1;
    let ledger = openLedger(['south'], new Map([['south', share]]), now);
    ledger = charge(ledger, { silo: 'south', dead: false, costMs: 600 }, deadShareMax, now);
    const asks = (begun: boolean): boolean => {
      const one = { silo: 'south', readyAtMs: now, deadlineMs: now, dead: false, costMs: 0, begun };
      return decide([one], ledger, deadShareMax, now).kind === 'ask';
    };
    assert.equal(asks(false), false);
    assert.equal(asks(true), true);
    ledger = charge(ledger, { silo: 'south', dead: false, costMs: 500 }, deadShareMax, now);
    assert.equal(asks(true), false);
  });

  it('loses at most half of it to its dead devices', () => {
    const flood = { silo: 'south', requests: 1, pauseMs: 0 };
    const dead = Array.from({ length: 5 }, () => ({ ...flood, dead: true, costMs: 700 }));
    const asked = run([...dead, { ...flood, dead: false, costMs: 50 }], new Map([['south', 0.2]]), 600_000);
    const spent = (isDead: boolean): number =>
      asked.reduce(
        (sum, { startMs, endMs }) => sum + (endMs - startMs > 100 === isDead ? endMs - startMs : 0),
        0,
      );
    assert.ok(Math.abs(spent(true) / 600_000 - 0.1) < 0.01, `the dead cost ${spent(true)} ms`);
    assert.ok(Math.abs(spent(false) / 600_000 - 0.1) < 0.01, `the living had ${spent(false)} ms`);
  });

  it('that changes keeps its debt, as far as the new share could have made one', () => {
    const opened = openBusBudget(['south'], new Map([['south', 0.5]]), 0);
    const indebted = spend(opened, { ...living, costMs: 60_000 }, 0);
    const lowered = openBusBudget(['south'], new Map([['south', 0.1]]), 0, indebted);
    assert.equal(lowered.get('south')!.creditMs, -500);
    assert.equal(allowedAtMs(lowered, living, 0), 5000);
    assert.equal(openBusBudget(['south'], new Map(), 0, lowered).size, 0);
  });
});

describe('the neighbours of a silo at its limit', () => {
  it('are asked as if it did not exist, live and dead ones', () => {
    fc.assert(
      fc.property(fc.array(candidate, { minLength: 1, maxLength: 12 }), (candidates) => {
        let ledger = openLedger(silos, new Map([['south', 0.2]]), now);
        ledger = charge(ledger, { silo: 'south', dead: false, costMs: 3000 }, deadShareMax, now);
        const others = candidates.filter(({ silo }) => silo !== 'south');
        const decision = decide(candidates, ledger, deadShareMax, now);
        const alone = decide(others, ledger, deadShareMax, now);
        if (alone.kind === 'ask') {
          assert.equal(decision.kind, 'ask');
          assert.equal(candidates[decision.index], others[alone.index]);
          return;
        }
        assert.equal(decision.kind, 'wait');
        assert.ok(decision.untilMs > now && decision.untilMs <= alone.untilMs);
      }),
    );
  });

  it('are not reported at a limit, nor is a silo without requests', () => {
    let ledger = openLedger(silos, new Map(silos.map((silo) => [silo, 0.2])), now);
    const base = { deadlineMs: 0, dead: false, begun: false, costMs: 0 };
    for (const silo of ['south', 'west']) {
      ledger = charge(ledger, { silo, dead: false, costMs: 3000 }, deadShareMax, now);
    }
    const held = silosOverShare(
      [
        { ...base, silo: 'north', readyAtMs: now },
        { ...base, silo: 'south', readyAtMs: now },
        { ...base, silo: 'west', readyAtMs: now + 1 },
      ],
      ledger,
      now,
    );
    assert.deepEqual([...held], [['south', now + 10_000]]);
  });

  it('nor is a silo whose dead devices have used their part, while it has credit itself', () => {
    let ledger = openLedger(silos, new Map([['south', 0.2]]), now);
    ledger = charge(ledger, { silo: 'south', dead: true, costMs: 700 }, deadShareMax, now);
    const one: Candidate = { ...living, dead: true, readyAtMs: 0, deadlineMs: 0, costMs: 50 };
    assert.equal(decide([one], ledger, 1, now).kind, 'wait');
    assert.equal(decide([{ ...one, dead: false }], ledger, 1, now).kind, 'ask');
    assert.equal(silosOverShare([one], ledger, now).size, 0);
  });
});

describe('the events of a silo at its limit', () => {
  function rig() {
    const clock = new FakeClock();
    const told: string[] = [];
    const use = createSiloUse(clock, (silo, { state, limit }) => told.push(`${silo} ${state} ${limit}`));
    use.assign(['south', 'north'], new Map([['south', 0.2]]));
    return { clock, told, use, held: () => use.status().find(({ silo }) => silo === 'south')!.held };
  }

  it('are one pair if it stays near its limit', () => {
    const { clock, told, use, held } = rig();
    for (let times = 0; times < 100; times += 1) {
      use.hold('south', clock.monotonicMs() + 50);
      clock.advance(500);
    }
    assert.deepEqual(told, ['south reached 0.2']);
    assert.ok(held());
    clock.advance(averagedOverMs);
    assert.deepEqual(told, ['south reached 0.2', 'south cleared 0.2']);
    assert.ok(!held());
    assert.equal(clock.timers, 0);
  });

  it('are none during a long wait', () => {
    const { clock, told, use } = rig();
    use.hold('south', clock.monotonicMs() + 60_000);
    clock.advance(60_000 + averagedOverMs - 1);
    assert.deepEqual(told, ['south reached 0.2']);
    clock.advance(2);
    assert.equal(told.length, 2);
  });

  it('ends with its limit, or its last device', () => {
    for (const [names, shares] of [
      [['south'], new Map()],
      [['north'], new Map([['south', 0.2]])],
    ] as const) {
      const { clock, told, use } = rig();
      use.hold('south', clock.monotonicMs() + 60_000);
      use.assign(names, shares);
      assert.deepEqual(told, ['south reached 0.2', 'south cleared 0.2']);
      assert.equal(clock.timers, 0);
    }
  });

  it('is decided again when the limit changes', () => {
    const { clock, told, use } = rig();
    use.hold('south', clock.monotonicMs() + 600_000);
    use.assign(['south'], new Map([['south', 0.4]]));
    clock.advance(averagedOverMs);
    assert.deepEqual(told, ['south reached 0.2', 'south cleared 0.4']);
  });

  it('shows each silo’s use, limited or not', () => {
    const { clock, use } = rig();
    clock.advance(10_000);
    use.add('south', 1000);
    use.add('north', 3000);
    assert.deepEqual(use.status(), [
      { silo: 'south', busShare: 0.1, busShareMax: 0.2, held: false },
      { silo: 'north', busShare: 0.3, busShareMax: null, held: false },
    ]);
  });
});
