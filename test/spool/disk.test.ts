import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Spool } from '../../src/spool/spool.ts';
import { fillDisk, makeDisk, whyNoDisk } from '../support/mount.ts';
import { drain } from '../support/spool-damage.ts';
import { openTestSpool, testSample } from '../support/spool.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const writer = fileURLToPath(new URL('../support/spool-writer.ts', import.meta.url));

function enqueueMany(spool: Spool, count: number, noise = 20_000): number {
  let stored = 0;
  for (let index = 0; index < count; index += 1) {
    if (spool.enqueue([testSample(index, noise)]) !== undefined) stored += 1;
  }
  return stored;
}

describe('a spool on a small disk', () => {
  for (const kind of ['tmpfs', 'ext4'] as const) {
    it(`leaves the disk its floor, though its quota is larger (${kind})`, {
      skip: whyNoDisk(kind),
    }, async (t) => {
      const disk = makeDisk(t, kind);
      const spool = await openTestSpool(join(disk.path, 'spool'), { bytesMax: 500_000_000 });
      t.after(() => spool.close());
      assert.equal(enqueueMany(spool, 400, 100_000), 400);
      const { bavail, blocks } = statfsSync(disk.path);
      assert.ok(bavail / blocks > 0.04, `${bavail} of ${blocks} blocks left`);
      assert.ok(spool.status().dropped > 0);
    });

    it(`works on where another program filled the disk (${kind})`, { skip: whyNoDisk(kind) }, async (t) => {
      const disk = makeDisk(t, kind);
      const directory = join(disk.path, 'spool');
      let spool = await openTestSpool(directory, { bytesMax: 2_000_000 });
      enqueueMany(spool, 30);
      fillDisk(join(disk.path, 'other'));
      assert.equal(enqueueMany(spool, 150), 150, 'evicts');
      spool.settle({ acked: spool.lease(10, 'fifo').map(({ key }) => key) });
      spool.note({ kind: 'quota', quota: 'x', limit: 1, state: 'reached' });
      const { batches, dropped, seq } = spool.status();
      assert.equal(batches + dropped + 10, seq);
      spool.close();
      spool = await openTestSpool(directory, { bytesMax: 2_000_000 });
      t.after(() => spool.close());
      assert.equal(spool.status().batches, batches, 'opens');
      assert.equal(enqueueMany(spool, 50), 50, 'evicts after it was opened');
      rmSync(join(disk.path, 'other'));
      const before = spool.status();
      enqueueMany(spool, 10);
      assert.ok(spool.status().batches > before.batches, 'grows again when there is room');
    });
  }
});

describe('a spool in a folder', () => {
  it('that cannot be made says so', async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'file'), '');
    await assert.rejects(openTestSpool(join(directory, 'file', 'spool')), {
      code: 'SpoolUnavailable',
      message: /cannot be used/,
    });
  });

  it('that may not be written says so, and works when it may', async (t) => {
    const directory = join(temporaryDirectory(t), 'spool');
    mkdirSync(directory);
    chmodSync(join(directory, '..'), 0o755);
    chmodSync(directory, 0o555);
    const restore = dropRoot();
    try {
      await assert.rejects(openTestSpool(directory), { code: 'SpoolUnavailable', hint: /owner and mode/ });
    } finally {
      restore();
    }
    chmodSync(directory, 0o755);
    const spool = await openTestSpool(directory);
    assert.equal(spool.enqueue([testSample(1)])?.seq, 1);
    spool.close();
  });

  it('whose files may not be written says so, and loses nothing', async (t) => {
    const directory = join(temporaryDirectory(t), 'spool');
    const first = await openTestSpool(directory);
    first.enqueue([testSample(1)]);
    first.close();
    chmodSync(join(directory, '..'), 0o755);
    chmodSync(directory, 0o755);
    const restore = dropRoot();
    try {
      await assert.rejects(openTestSpool(directory), { code: 'SpoolUnavailable' });
    } finally {
      restore();
    }
    const again = await openTestSpool(directory);
    assert.equal(drain(again).delivered.size, 1);
    again.close();
  });

  it('that is deleted in use is written again, whole', async (t) => {
    const parent = temporaryDirectory(t);
    const directory = join(parent, 'spool');
    let spool = await openTestSpool(directory);
    for (let ts = 1; ts <= 20; ts += 1) spool.enqueue([testSample(ts, 3000)]);
    rmSync(directory, { recursive: true });
    assert.equal(spool.enqueue([testSample(21)])?.seq, 21);
    assert.ok(existsSync(join(directory, 'spool.sqlite')));
    const { epoch } = spool;
    spool.close();
    spool = await openTestSpool(directory);
    t.after(() => spool.close());
    assert.equal(spool.epoch, epoch);
    assert.equal(drain(spool).delivered.size, 21);
  });

  it('that is deleted and cannot be made again says so, and loses nothing when it can', async (t) => {
    const parent = join(temporaryDirectory(t), 'parent');
    const directory = join(parent, 'spool');
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    spool.enqueue([testSample(1)]);
    rmSync(parent, { recursive: true });
    writeFileSync(parent, 'in the way');
    assert.throws(() => spool.enqueue([testSample(2)]), { code: 'SpoolUnavailable' });
    rmSync(parent);
    assert.equal(spool.enqueue([testSample(2)])?.seq, 2);
    assert.equal(drain(spool).delivered.size, 2);
  });

  it('is locked while another process has it open, and free when that one is killed', async (t) => {
    const directory = join(temporaryDirectory(t), 'spool');
    const child = spawn(process.execPath, [writer, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'close');
    try {
      await once(child.stdout, 'data');
      await assert.rejects(openTestSpool(directory), { code: 'SpoolHeld', hint: /stop the daemon/ });
    } finally {
      child.kill('SIGKILL');
      child.stdout.resume();
      await exited;
    }
    const spool = await openTestSpool(directory, { bytesMax: 4_000_000 });
    assert.ok(spool.status().seq > 0);
    spool.close();
  });
});

/** As an ordinary user for a while, where the test runs as root: root may write everything. */
function dropRoot(): () => void {
  if (process.getuid?.() !== 0) return () => {};
  process.seteuid!(65_534);
  return () => process.seteuid!(0);
}
