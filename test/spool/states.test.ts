import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Spool } from '../../src/spool/spool.ts';
import { directoryInMemory, openTestSpool, testKeys, testSample } from '../support/spool.ts';

const bytesMax = 1_000_000;
const ref = (spool: Spool, seq: number): { epoch: string; seq: number } => ({ epoch: spool.epoch, seq });

const operations: Record<string, (spool: Spool) => unknown> = {
  enqueue: (spool) => spool.enqueue([testSample(1, 9000)]),
  enqueueAll: (spool) => spool.enqueueAll([[testSample(1, 9000)], [testSample(2), testSample(3)]]),
  hold: (spool) => spool.hold(Buffer.alloc(9000)),
  release: (spool) => spool.release(() => [testSample(4)]),
  'lease fifo': (spool) => spool.lease(3, 'fifo'),
  'lease live-first': (spool) => spool.lease(3, 'live-first'),
  'lease live': (spool) => spool.lease(3, 'live-first', 'live'),
  'lease none': (spool) => spool.lease(0, 'fifo'),
  'settle nothing': (spool) => spool.settle({}),
  'settle what is unknown': (spool) =>
    spool.settle({ acked: [ref(spool, 999_999), { epoch: 'none', seq: 1 }] }),
  'settle what is not leased': (spool) =>
    spool.settle({ acked: [ref(spool, spool.lease(0, 'fifo').length + 1)] }),
  'settle acked': (spool) => spool.settle({ acked: spool.lease(2, 'fifo').map(({ key }) => key) }),
  'settle acked twice': (spool) => {
    const acked = spool.lease(2, 'fifo').map(({ key }) => key);
    spool.settle({ acked: [...acked, ...acked] });
    spool.settle({ acked, released: acked });
  },
  'settle rejected': (spool) =>
    spool.settle({ rejected: spool.lease(2, 'fifo').map(({ key }) => ({ ...key, reason: 'bad' })) }),
  'settle released': (spool) => spool.settle({ released: spool.lease(2, 'fifo').map(({ key }) => key) }),
  note: (spool) => spool.note({ kind: 'quota', quota: 'x', limit: 1, state: 'reached' }),
  leaseEvents: (spool) => spool.leaseEvents(2),
  settleEvents: (spool) => spool.settleEvents(spool.leaseEvents(2).map(({ id }) => id)),
  'settleEvents of what is unknown': (spool) => spool.settleEvents(['none']),
  releaseEvents: (spool) => spool.releaseEvents(spool.leaseEvents(2).map(({ id }) => id)),
  checkpointDue: (spool) => spool.checkpointDue(),
  saveCheckpoint: (spool) => spool.saveCheckpoint('a.b.c', spool.checkpointDue()?.seq ?? 0),
  lastCheckpoint: (spool) => spool.lastCheckpoint(),
  'keepSent along': (spool) => spool.keepSent({ day: 20_000, bytes: 1 }, 'along'),
  'keepSent now': (spool) => spool.keepSent({ day: 20_000, bytes: 2 }, 'now'),
  bytesInUse: (spool) => spool.bytesInUse(),
  rotateKey: (spool) => spool.rotateKey(),
  rekey: (spool) => spool.rekey(testKeys('acme')),
  status: (spool) => spool.status(),
};

type State = 'empty' | 'filled' | 'full, drop-oldest' | 'full, drop-newest' | 'damaged' | 'closed';
const states: readonly State[] = [
  'empty',
  'filled',
  'full, drop-oldest',
  'full, drop-newest',
  'damaged',
  'closed',
];

async function bringTo(state: State, directory: string): Promise<Spool> {
  const whenFull = state === 'full, drop-newest' ? 'drop-newest' : 'drop-oldest';
  const spool = await openTestSpool(directory, { bytesMax, whenFull });
  const batches = { empty: 0, 'full, drop-oldest': 90, 'full, drop-newest': 90 }[state as string] ?? 12;
  for (let ts = 1; ts <= batches; ts += 1) spool.enqueue([testSample(ts, 9000)]);
  if (state === 'filled') spool.hold(Buffer.from('[]'));
  if (state === 'damaged') return damage(spool, directory);
  if (state === 'closed') spool.close();
  return spool;
}

/** Zeroes page after page of the file at rest, until one is missed only in use. */
async function damage(spool: Spool, directory: string): Promise<Spool> {
  // The ledger comes up to the head, so that opening need not read the batches.
  spool.note({ kind: 'quota', quota: 'x', limit: 1, state: 'reached' });
  spool.close();
  const image = `${directory}-image`;
  cpSync(directory, image, { recursive: true });
  const sound = readFileSync(join(image, 'spool.sqlite'));
  try {
    for (let at = damagedAt ?? sound.length - 4096; at > 0; at -= 4096) {
      rmSync(directory, { recursive: true });
      cpSync(image, directory, { recursive: true });
      writeFileSync(join(directory, 'spool.sqlite'), Buffer.from(sound).fill(0, at, at + 4096));
      const opened = await openTestSpool(directory, { bytesMax });
      damagedAt = at;
      if ((await errorOf(() => opened.lease(20, 'fifo'))) === 'SpoolDamaged') return opened;
      opened.close();
    }
  } finally {
    rmSync(image, { recursive: true });
  }
  throw new Error('no page was missed in use');
}

/** Where the page was last time: the file is built the same way each time. */
let damagedAt: number | undefined;

function expectedError(state: State, operation: string): string | undefined {
  if (state === 'closed') return 'SpoolClosed';
  if (state === 'damaged') return 'SpoolDamaged';
  return state === 'full, drop-newest' && operation === 'hold' ? 'SpoolFull' : undefined;
}

async function errorOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

describe('every operation in every state', () => {
  for (const state of states) {
    for (const [name, operate] of Object.entries(operations)) {
      it(`${name}: ${state}`, async (t: TestContext) => {
        const directory = directoryInMemory(t);
        const spool = await bringTo(state, directory);
        assert.equal(await errorOf(() => operate(spool)), expectedError(state, name));
        spool.close();
        spool.close();
        const again = await openTestSpool(directory, { bytesMax });
        t.after(() => again.close());
        if (state !== 'damaged') assert.equal(again.epoch, spool.epoch);
        assert.ok(again.enqueue([testSample(5)]));
        assert.ok(again.status().bytes <= bytesMax);
      });
    }
  }
});
