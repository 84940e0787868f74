import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.ts';
import type { LeasedBatch } from '../../src/spool/spool.ts';
import { FailoverSpool } from '../../src/spool/failover/failover-spool.ts';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import { FakeClock } from './fake-clock.ts';
import { type Disk, fillDisk } from './mount.ts';
import { acme, openTestSpool, testSample } from './spool.ts';

/** Random actions and faults of a silo on a small disk. */
const steps = ['store', 'store', 'store', 'send', 'answer', 'lose session', 'wait'] as const;
const faults = ['full', 'room', 'read-only', 'writable', 'clock ahead', 'clock behind', 'restart'] as const;

/**
 * Runs `count` steps on `disk`, which fills up, turns read-only and back, while the clock jumps and the silo
 * is restarted. Throws where a sample is lost and not counted, arrives under two numbers, or a number is missing.
 */
export async function soakStorage(
  disk: Disk,
  count: number,
  pick: (below: number) => number,
): Promise<{ samples: number; lost: number; epochs: number; batches: number }> {
  const clock = new FakeClock();
  const directory = join(disk.path, 'spool');
  const other = join(disk.path, 'other');
  const deps = { clock, logger: silentLogger };
  let lost = 0;
  const open = (): Promise<FailoverSpool> =>
    FailoverSpool.open(
      {
        ...deps,
        origin: acme,
        open: () => openTestSpool(directory, { bytesMax: 4_000_000 }, deps),
        memory: { bytesMax: 200_000, whenFull: 'drop-oldest' },
        lost: ({ samples }) => {
          lost += samples;
        },
      },
      4_000_000,
    );
  let storage = await open();
  /** By number: batches that arrived, and batches that an event reported. */
  const arrived = new Map<string, number[]>();
  const told = new Set<string>();
  let inFlight: LeasedBatch[] = [];
  let ts = 0;

  const arrive = (): void => {
    for (const { key, payload } of inFlight) {
      const { samples } = JSON.parse(payload.toString()) as TelemetryBatch;
      arrived.set(
        `${key.epoch}/${key.seq}`,
        samples.map((sample) => sample.ts),
      );
    }
  };
  const answer = (): void => {
    arrive();
    storage.settle({ acked: inFlight.map(({ key }) => key) });
    inFlight = [];
  };
  const hear = (): void => {
    const events = storage.leaseEvents(100);
    for (const { payload } of events) {
      const event = JSON.parse(payload.toString()) as Record<string, unknown>;
      if (event['kind'] !== 'dropped' && event['kind'] !== 'quarantined') continue;
      const { epoch, seqFrom, seqTo } = event as Record<string, number>;
      for (let seq = seqFrom!; seq <= seqTo!; seq += 1) told.add(`${epoch}/${seq}`);
    }
    storage.settleEvents(events.map(({ id }) => id));
  };
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      await clock.advanceAsync(1000);
      storage.tick();
      if (storage.isFailing) await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  const suffer = async (fault: (typeof faults)[number]): Promise<void> => {
    if (fault === 'full') fillDisk(other);
    if (fault === 'room') rmSync(other, { force: true });
    if (fault === 'read-only') disk.setReadOnly(true);
    if (fault === 'writable') disk.setReadOnly(false);
    if (fault === 'clock ahead') clock.setWall(clock.wallMs() + pick(5) * 86_400_000);
    if (fault === 'clock behind') clock.setWall(clock.wallMs() - pick(5) * 86_400_000);
    if (fault === 'restart') {
      arrive();
      storage.giveUpMemory();
      hear();
      storage.close();
      inFlight = [];
      storage = await open();
    }
  };
  const tryTo = async (fault: (typeof faults)[number]): Promise<void> => {
    try {
      await suffer(fault);
    } catch (error) {
      // A file can't be deleted from a read-only disk, nor a busy one be remounted.
      if (!/EROFS|ENOSPC|busy|mount/.test(String(error))) throw error;
    }
  };

  for (let step = 0; step < count; step += 1) {
    if (pick(12) === 0) await tryTo(faults[pick(faults.length)]!);
    const what = steps[pick(steps.length)]!;
    if (what === 'store') storage.enqueue([testSample((ts += 1), pick(30_000))]);
    if (what === 'send') inFlight.push(...storage.lease(1 + pick(8), 'live-first'));
    if (what === 'answer') answer();
    if (what === 'lose session') {
      if (pick(2) === 0) arrive();
      storage.settle({ released: inFlight.map(({ key }) => key) });
      inFlight = [];
    }
    if (what === 'wait') await pass(1 + pick(4));
    if (pick(20) === 0) hear();
  }
  for (const fault of ['writable', 'room'] as const) await tryTo(fault);
  await pass(130);
  answer();
  for (let batches = storage.lease(50, 'live-first'); batches.length > 0; ) {
    inFlight = batches;
    answer();
    batches = storage.lease(50, 'live-first');
  }
  hear();
  assert.equal(storage.isFailing, false, 'the spool did not come back');
  storage.close();

  const times = [...arrived.values()].flat();
  assert.equal(new Set(times).size, times.length, 'a sample came twice, under two numbers');
  // A batch has one sample here; one that arrived and was not answered may be given up after that.
  const given = [...told].filter((key) => !arrived.has(key)).length;
  assert.equal(times.length + lost + given, ts, 'a sample is lost and was not counted');
  const epochs = Map.groupBy([...arrived.keys(), ...told], (key) => key.split('/')[0]!);
  for (const [epoch, keys] of epochs) {
    const seqs = new Set(keys.map((key) => Number(key.split('/')[1])));
    assert.equal(Math.max(...seqs), seqs.size, `a number of ${epoch} is missing`);
  }
  return { samples: ts, lost: lost + given, epochs: epochs.size, batches: arrived.size };
}
