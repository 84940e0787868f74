import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { MerestoneError } from '../../../src/base/error.ts';
import { createLogger, type LogRecord } from '../../../src/base/logger.ts';
import { keptFiles } from '../../../src/spool/storage/layout.ts';
import type { GivenUp } from '../../../src/spool/failover/memory-batches.ts';
import type { LeasedBatch } from '../../../src/spool/spool.ts';
import type { Spool } from '../../../src/spool/spool.ts';
import { FailoverSpool } from '../../../src/spool/failover/failover-spool.ts';
import type { TelemetryBatch } from '../../../src/messages/telemetry.ts';
import { chainNext, chainStart } from '../../../src/messages/hash-chain.ts';
import type { StreamEvent } from '../../../src/messages/event.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { fillDisk, makeDisk, whyNoDisk } from '../../support/mount.ts';
import { wholeFrom } from '../../support/random.ts';
import { soakStorage } from '../../support/storage-soak.ts';
import { acme, openTestSpool, testSample } from '../../support/spool.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

interface Rig {
  clock: FakeClock;
  storage: FailoverSpool;
  /** The spool that is open now. */
  spool(): Spool;
  lost: GivenUp[];
  lines: LogRecord[];
  /** Lets a second pass, as a silo does. */
  tick(seconds?: number): Promise<void>;
}

interface RigOptions {
  bytesMax?: number;
  whenFull?: 'drop-oldest' | 'drop-newest';
}

async function openRig(t: TestContext, directory: string, options: RigOptions = {}): Promise<Rig> {
  const clock = new FakeClock();
  const lost: GivenUp[] = [];
  const lines: LogRecord[] = [];
  const logger = createLogger((line) => lines.push(line), 'info');
  let spool: Spool | undefined;
  const open = async (): Promise<Spool> => {
    spool = await openTestSpool(directory, { bytesMax: 2_000_000 }, { clock, logger });
    return spool;
  };
  const { bytesMax = 100_000, whenFull = 'drop-oldest' } = options;
  const memory = { bytesMax, whenFull };
  const deps = { origin: acme, clock, logger, open, memory, lost: (run: GivenUp) => lost.push(run) };
  const storage = await FailoverSpool.open(deps, 2_000_000);
  t.after(() => storage.close());
  const tick = async (seconds = 1): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      await clock.advanceAsync(1000);
      storage.tick();
      // Opening a spool again takes real time.
      await new Promise((resolve) => setTimeout(resolve, storage.isFailing ? 5 : 0));
    }
  };
  return { clock, storage, spool: () => spool!, lost, lines, tick };
}

/** Takes everything that may go, and has it accepted. */
function deliver({ storage }: Rig): LeasedBatch[] {
  const all: LeasedBatch[] = [];
  for (let batches = storage.lease(50, 'live-first'); batches.length > 0; ) {
    all.push(...batches);
    storage.settle({ acked: batches.map(({ key }) => key) });
    batches = storage.lease(50, 'live-first');
  }
  return all;
}

function deliverEvents({ storage }: Rig): StreamEvent[] {
  const events = storage.leaseEvents(100);
  storage.settleEvents(events.map(({ id }) => id));
  return events.map(({ payload }) => JSON.parse(payload.toString()) as StreamEvent);
}

const timesOf = (batches: readonly LeasedBatch[]): number[] =>
  batches
    .flatMap(({ payload }) => (JSON.parse(payload.toString()) as TelemetryBatch).samples.map(({ ts }) => ts))
    .toSorted((a, b) => a - b);

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

function breakDisk(spool: Spool, error: Error): () => void {
  const methods = ['enqueue', 'note', 'keepEvent', 'hold', 'settleEvents', 'saveCheckpoint'] as const;
  for (const method of methods) {
    Object.defineProperty(spool, method, {
      configurable: true,
      value: () => {
        throw error;
      },
    });
  }
  return () => methods.forEach((method) => Reflect.deleteProperty(spool, method));
}

const full = new MerestoneError('DiskFull', 'the disk of /var/lib/x is full', {
  hint: 'free space on this disk',
});

describe('storage on a disk that fails', () => {
  it('goes on in memory when another program has filled it, says so once, and comes back by itself', {
    skip: whyNoDisk('ext4'),
  }, async (t) => {
    const disk = makeDisk(t, 'ext4');
    const rig = await openRig(t, join(disk.path, 'spool'));
    for (const ts of upTo(3)) rig.storage.enqueue([testSample(ts)]);
    const before = deliver(rig);
    deliverEvents(rig);
    fillDisk(join(disk.path, 'other'));
    const live: LeasedBatch[] = [];
    let ts = 3;
    while (!rig.storage.isFailing && ts < 400) {
      ts += 1;
      rig.storage.enqueue([testSample(ts, 20_000)]);
      await rig.tick();
      live.push(...deliver(rig));
    }
    const { disk: state } = rig.storage.status();
    assert.equal(state.state, 'failing');
    assert.match(state.reason!, /the disk of \/.*spool is full.*free space/);
    const failedFrom = ts;
    for (; ts < failedFrom + 90; ) {
      ts += 1;
      rig.storage.enqueue([testSample(ts, 20_000)]);
      await rig.tick();
      live.push(...deliver(rig));
    }
    const inMemory = live.filter(({ durable }) => !durable);
    assert.ok(inMemory.length >= 90);
    for (const { key, payload } of inMemory) {
      assert.equal(key.epoch, rig.storage.memory.head.epoch);
      assert.equal((JSON.parse(payload.toString()) as TelemetryBatch).durable, false);
    }
    rmSync(join(disk.path, 'other'));
    for (const end = ts + 70; ts < end; ) {
      ts += 1;
      rig.storage.enqueue([testSample(ts, 20_000)]);
      await rig.tick();
      live.push(...deliver(rig));
    }
    assert.deepEqual(rig.storage.status().disk, { state: 'good', reason: null, sinceMs: null });
    assert.deepEqual(timesOf([...before, ...live]), upTo(ts));
    assert.equal(live.at(-1)!.durable, true);
    assert.deepEqual(rig.lost, []);
    const told = deliverEvents(rig).filter((event) => event.kind === 'storage-failed');
    assert.deepEqual(
      told.map(({ state: each }) => each),
      ['began', 'ended'],
    );
    const loud = rig.lines.filter(({ level }) => level === 'warn' || level === 'error');
    assert.ok(loud.length <= 4, loud.map(({ event }) => event).join('; '));
  });

  it('goes on in memory where it is read-only from the start, and opens the spool when it is not any more', {
    skip: whyNoDisk('ext4'),
  }, async (t) => {
    const disk = makeDisk(t, 'ext4');
    const directory = join(disk.path, 'spool');
    const first = await openTestSpool(directory);
    first.enqueue([testSample(1)]);
    first.close();
    disk.setReadOnly(true);
    const rig = await openRig(t, directory);
    assert.equal(rig.storage.status().disk.state, 'failing');
    for (const ts of [2, 3]) rig.storage.enqueue([testSample(ts)]);
    const live = deliver(rig);
    assert.deepEqual(timesOf(live), [2, 3]);
    rig.storage.enqueue([testSample(4)]);
    rig.storage.hold(Buffer.from(JSON.stringify([{ bootId: 'b', sample: { wallMs: 5 } }])));
    await rig.tick(10);
    assert.equal(rig.storage.status().disk.state, 'failing');
    disk.setReadOnly(false);
    await rig.tick(10);
    assert.equal(rig.storage.status().disk.state, 'good');
    assert.equal(
      rig.storage.release(() => [testSample(5)]),
      1,
    );
    assert.deepEqual(timesOf(deliver(rig)), [1, 4, 5]);
    assert.deepEqual(rig.lost, []);
  });

  it('turned read-only in use still gives what it has', { skip: whyNoDisk('ext4') }, async (t) => {
    const disk = makeDisk(t, 'ext4');
    const rig = await openRig(t, join(disk.path, 'spool'));
    for (const ts of upTo(5)) rig.storage.enqueue([testSample(ts)]);
    disk.cutPower();
    for (const ts of [6, 7]) rig.storage.enqueue([testSample(ts)]);
    await rig.tick(65);
    assert.equal(rig.storage.status().disk.state, 'failing');
    assert.deepEqual(timesOf(deliver(rig)).slice(-2), [6, 7]);
    rig.storage.close();
  });

  it('says that the disk is full where it can only store by giving up what waits', {
    skip: whyNoDisk('ext4'),
  }, async (t) => {
    const disk = makeDisk(t, 'ext4');
    const rig = await openRig(t, join(disk.path, 'spool'));
    for (const ts of upTo(30)) rig.storage.enqueue([testSample(ts, 20_000)]);
    fillDisk(join(disk.path, 'other'));
    for (const ts of upTo(30)) {
      rig.storage.enqueue([testSample(30 + ts, 20_000)]);
      rig.storage.status();
    }
    assert.equal(rig.storage.isFailing, false, 'it still stores');
    const { dropped, disk: state } = rig.storage.status();
    assert.ok(dropped > 0);
    assert.equal(state.state, 'failing');
    assert.equal(state.isShort, true);
    assert.match(state.reason!, /filled its disk.*free space/);
    assert.equal(rig.storage.isShortOfDisk, true);
    const reasons = deliverEvents(rig).flatMap((event) => (event.kind === 'dropped' ? event.reason : []));
    assert.deepEqual([...new Set(reasons)], ['disk full']);
    await rig.tick(61);
    assert.equal(rig.storage.status().disk.state, 'good');
  });

  it('dates what the disk holds before what came after it', async (t) => {
    const rig = await openRig(t, temporaryDirectory(t));
    rig.storage.hold(Buffer.from('[]'));
    const mend = breakDisk(rig.spool(), full);
    rig.storage.enqueue([testSample(2)]);
    // The clock is known now, and the disk fails.
    rig.storage.release(() => [testSample(1)]);
    mend();
    await rig.tick(5);
    rig.storage.enqueue([testSample(3)]);
    const batches = deliver(rig);
    assert.deepEqual(
      batches.map(({ key, payload }) => [
        key.seq,
        (JSON.parse(payload.toString()) as TelemetryBatch).samples[0]!.ts,
      ]),
      [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
    );
  });

  it('keeps memory bounded, and counts what it gives up', async (t) => {
    for (const whenFull of ['drop-oldest', 'drop-newest'] as const) {
      const rig = await openRig(t, temporaryDirectory(t), { bytesMax: 2000, whenFull });
      breakDisk(rig.spool(), full);
      for (const ts of upTo(200)) rig.storage.enqueue([testSample(ts)]);
      assert.ok(rig.storage.memory.bytes <= 2000);
      const delivered = timesOf(deliver(rig));
      const lost = rig.lost.reduce((sum, { samples }) => sum + samples, 0);
      assert.equal(delivered.length + lost, 200);
      assert.equal(delivered.includes(200), whenFull === 'drop-oldest');
      assert.equal(delivered.includes(1), whenFull === 'drop-newest');
    }
  });

  it('proves a disk with the batch that it failed at, ever more rarely where it works and fails in turn', async (t) => {
    const rig = await openRig(t, temporaryDirectory(t));
    let tried = 0;
    const enqueue = rig.spool().enqueue.bind(rig.spool());
    rig.spool().enqueue = (samples) => {
      tried += 1;
      if (tried % 2 === 0) return enqueue(samples);
      throw full;
    };
    for (const ts of upTo(600)) {
      rig.storage.enqueue([testSample(ts)]);
      deliver(rig);
      await rig.tick();
    }
    const changes = rig.lines.filter(({ event }) => event.startsWith('the spool'));
    assert.ok(changes.length <= 40, `${changes.length} lines in ten minutes`);
  });

  it('salvages a spool that is found damaged in use, and loses nothing that waited', async (t) => {
    const directory = temporaryDirectory(t);
    const rig = await openRig(t, directory);
    for (const ts of upTo(5)) rig.storage.enqueue([testSample(ts)]);
    const { epoch } = rig.storage;
    const enqueue = rig.spool().enqueue.bind(rig.spool());
    const damaged = new Database.SqliteError('malformed', 'SQLITE_CORRUPT');
    // As if a page of the file could not be read.
    rig.spool().enqueue = () => {
      rig.spool().enqueue = enqueue;
      throw new MerestoneError('SpoolDamaged', 'the spool is damaged', { cause: damaged });
    };
    rig.storage.enqueue([testSample(6)]);
    await rig.tick(3);
    rig.storage.enqueue([testSample(7)]);
    assert.equal(rig.storage.isFailing, false);
    assert.equal(rig.storage.epoch, epoch);
    assert.equal(keptFiles(directory).length, 0);
    assert.deepEqual(timesOf(deliver(rig)), upTo(7));
  });

  it('signs the chain of what is in memory, which can be verified', async (t) => {
    const rig = await openRig(t, temporaryDirectory(t));
    breakDisk(rig.spool(), full);
    for (const ts of upTo(4)) rig.storage.enqueue([testSample(ts)]);
    const claims = (): unknown => rig.storage.memory.checkpointDue();
    assert.equal(claims(), undefined);
    let chain = chainStart;
    for (const { payload } of deliver(rig)) chain = chainNext(chain, payload);
    const due = rig.storage.memory.checkpointDue()!;
    assert.deepEqual([due.seq, due.chain, due.samples, due.durable], [4, chain.toString('hex'), 4, false]);
    rig.storage.memory.saveCheckpoint('jws', 4);
    assert.equal(claims(), undefined);
  });

  it('tells what was sent and not answered, and what was never sent, when it ends', async (t) => {
    const rig = await openRig(t, temporaryDirectory(t));
    const mend = breakDisk(rig.spool(), full);
    for (const ts of upTo(4)) rig.storage.enqueue([testSample(ts)]);
    const [sent] = rig.storage.lease(1, 'live-first');
    rig.storage.giveUpMemory();
    assert.equal(
      rig.lost.reduce((sum, { samples }) => sum + samples, 0),
      3,
    );
    const dropped = deliverEvents(rig).filter((event) => event.kind === 'dropped');
    assert.deepEqual(
      dropped.map(({ epoch, seqFrom, samples }) => [epoch, seqFrom, samples]),
      [[sent!.key.epoch, sent!.key.seq, 1]],
    );
    mend();
  });
});

type Step = { kind: 'enqueue' | 'send' | 'answer' | 'lose' | 'break' | 'mend' | 'wait' };

describe('storage under any faults of its disk and its session', () => {
  it('delivers each sample once, in numbers without a hole, or counts it as lost', async (t) => {
    const kinds: Step['kind'][] = ['enqueue', 'enqueue', 'send', 'answer', 'lose', 'break', 'mend', 'wait'];
    const steps = fc.array(fc.record({ kind: fc.constantFrom(...kinds) }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const rig = await openRig(t, temporaryDirectory(t), { bytesMax: 700 });
        let mend = (): void => {};
        let ts = 0;
        const arrived = new Map<string, Buffer>();
        let inFlight: LeasedBatch[] = [];
        const answer = (): void => {
          for (const { key, payload } of inFlight) arrived.set(`${key.epoch}/${key.seq}`, payload);
          rig.storage.settle({ acked: inFlight.map(({ key }) => key) });
          inFlight = [];
        };
        for (const { kind } of list) {
          if (kind === 'enqueue') rig.storage.enqueue([testSample((ts += 1))]);
          if (kind === 'send') inFlight.push(...rig.storage.lease(3, 'live-first'));
          if (kind === 'answer') answer();
          if (kind === 'lose') {
            // It arrived, and the answer did not.
            for (const { key, payload } of inFlight) arrived.set(`${key.epoch}/${key.seq}`, payload);
            rig.storage.settle({ released: inFlight.map(({ key }) => key) });
            inFlight = [];
          }
          if (kind === 'break') mend = breakDisk(rig.spool(), full);
          if (kind === 'mend') mend();
          if (kind === 'wait') await rig.tick(3);
        }
        answer();
        for (const { key, payload } of deliver(rig)) arrived.set(`${key.epoch}/${key.seq}`, payload);
        const times = [...arrived.values()].flatMap((payload) =>
          (JSON.parse(payload.toString()) as TelemetryBatch).samples.map((sample) => sample.ts),
        );
        assert.equal(new Set(times).size, times.length, 'twice, under two numbers');
        const lost = rig.lost.reduce((sum, { samples }) => sum + samples, 0);
        assert.equal(times.length + lost, ts);
        for (const { epoch, seq } of [rig.storage.memory.head, rig.spool().status()]) {
          for (let each = 1; each <= seq; each += 1)
            assert.ok(arrived.has(`${epoch}/${each}`), `${epoch}/${each}`);
        }
        rig.storage.close();
      }),
      { numRuns: 40 },
    );
  });
});

describe('storage on a small disk', () => {
  it('accounts for every sample while it fills up, turns read-only, and the clock jumps', {
    skip: whyNoDisk('ext4'),
  }, async (t) => {
    const { samples, batches } = await soakStorage(makeDisk(t, 'ext4'), 600, wholeFrom(42));
    assert.ok(samples > 100 && batches > 50, `${samples} samples, ${batches} batches`);
  });
});
