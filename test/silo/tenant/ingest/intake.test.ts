import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MerestoneError } from '../../../../src/base/error.ts';
import { silentLogger } from '../../../../src/base/logger.ts';
import type { Sample } from '../../../../src/reading/sample.ts';
import { Intake, type IntakeDependencies } from '../../../../src/silo/tenant/ingest/intake.ts';
import type { SiloOptions } from '../../../../src/silo/options.ts';
import { Timekeeper } from '../../../../src/silo/tenant/ingest/timekeeper.ts';
import type { Spool } from '../../../../src/spool/spool.ts';
import { batchRowsMax } from '../../../../src/messages/document-limits.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { openTestSpool } from '../../../support/spool.ts';
import { temporaryDirectory } from '../../../support/temporary-directory.ts';

const batch = { lingerMs: 1000, samplesMax: 2, bytesMax: 100_000 };

interface Rig {
  clock: FakeClock;
  spool: Spool;
  intake: Intake;
  /** Readings that were given back as credit. */
  credit(): number;
  sample(): Sample;
}

async function openRig(
  t: TestContext,
  changes: Partial<IntakeDependencies>,
  limits: SiloOptions['batch'] = batch,
): Promise<Rig> {
  const clock = new FakeClock();
  const spool = await openTestSpool(temporaryDirectory(t));
  t.after(() => spool.close());
  const sources = { clock, bootId: 'boot', synchronized: () => true, setFromHardware: false };
  let credit = 0;
  const intake = new Intake({ batch: limits } as SiloOptions, {
    clock,
    logger: silentLogger,
    spool,
    timekeeper: new Timekeeper(sources, 0),
    settled: (readings) => (credit += readings),
    stored: () => {},
    refused: () => {},
    ...changes,
  });
  t.after(() => intake.close());
  const sample = (): Sample => ({
    device: 'meter',
    wallMs: clock.wallMs(),
    monotonicMs: clock.monotonicMs(),
    values: { power: 1 },
  });
  return { clock, spool, intake, credit: () => credit, sample };
}

describe('intake', () => {
  it('stores a batch once, and returns its credit, even if the listener throws', async (t) => {
    let faults = 0;
    const rig = await openRig(t, {
      stored: () => {
        faults += 1;
        if (faults === 1) throw new TypeError('the forwarder is at fault');
      },
    });
    assert.throws(() => rig.intake.admit([rig.sample(), rig.sample()]), /the forwarder is at fault/);
    rig.clock.advance(10_000);
    assert.equal(rig.spool.status().batches, 1);
    assert.equal(rig.spool.status().seq, 1);
    assert.equal(rig.credit(), 2);
  });

  it('reports what was stored before the disk failed, and the rest when it recovers', async (t) => {
    const told: number[] = [];
    const rig = await openRig(t, { stored: (samples) => told.push(samples) });
    const enqueue = rig.spool.enqueue.bind(rig.spool);
    let left = 0;
    rig.spool.enqueue = (samples) => {
      if (left === 0) throw new MerestoneError('SpoolFull', 'the disk is full');
      left -= 1;
      return enqueue(samples);
    };
    rig.intake.admit([rig.sample(), rig.sample(), rig.sample(), rig.sample()]);
    assert.deepEqual([told, rig.credit()], [[], 0]);
    left = 1;
    rig.clock.advance(1000);
    assert.deepEqual([told, rig.spool.status().batches, rig.credit()], [[2], 1, 0]);
    left = 1;
    rig.clock.advance(1000);
    assert.deepEqual([told, rig.spool.status().batches, rig.credit()], [[2, 2], 2, 4]);
    rig.clock.advance(10_000);
    assert.equal(rig.spool.status().seq, 2);
  });

  it('closes a batch before it exceeds the values that a backend accepts', async (t) => {
    const rig = await openRig(t, {}, { lingerMs: 1000, samplesMax: 10_000, bytesMax: 8e6 });
    const wide = (): Sample => ({
      ...rig.sample(),
      values: Object.fromEntries(Array.from({ length: batchRowsMax / 2 + 1 }, (_, n) => [`p${n}`, 1])),
    });
    rig.intake.admit([wide(), rig.sample(), wide()]);
    rig.intake.flush();
    const leased = rig.spool.lease(10, 'fifo');
    const batches = leased.map(({ samples }) => samples);
    assert.deepEqual(batches, [2, 1]);
    assert.equal(rig.credit(), batchRowsMax + 3);
  });
});
