import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { keptFiles } from '../../src/spool/storage/layout.ts';
import {
  assertNothingLostUnreported,
  type Damage,
  drain,
  flip,
  type Image,
  makeImage,
  survive,
  tellsOf,
} from '../support/spool-damage.ts';
import { wholeFrom } from '../support/random.ts';
import { directoryInMemory, openTestSpool, testKeys, testSample } from '../support/spool.ts';

function zero(from: number, to: number): Damage {
  return (file) => {
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0, from, to));
  };
}

const database = 'spool.sqlite';
const wal = 'spool.sqlite-wal';
const pageBytes = 4096;
const frameBytes = 4096 + 24;

/** Most of it in the database, or all of it in the WAL, by how soon a checkpoint is due. */
const kinds = [
  { where: 'database', file: database, unit: pageBytes, bytesMax: 2_000_000 },
  { where: 'WAL', file: wal, unit: frameBytes, bytesMax: 4_000_000 },
];

describe('a damaged spool', () => {
  for (const { where, file, unit, bytesMax } of kinds) {
    const prepare = async (t: TestContext): Promise<{ image: Image; directory: string; length: number }> => {
      const image = await makeImage(t, 24, bytesMax);
      return { image, directory: directoryInMemory(t), length: usedBytes(join(image.directory, file)) };
    };
    const survives = async (image: Image, directory: string, what: string, damage: Damage): Promise<void> => {
      try {
        assertNothingLostUnreported(image, await survive(image, directory, file, damage));
      } catch (cause) {
        throw new Error(`${what} of ${file}`, { cause });
      }
    };

    it(`is whole after a kill, with most of it in the ${where}`, async (t) => {
      const { image, directory } = await prepare(t);
      const { delivered, events } = await survive(image, directory, file, () => {});
      const rejected = 2;
      assert.equal(delivered.size, image.owed.size - rejected);
      assert.equal(events.filter(({ kind }) => kind === 'epoch-started').length, 1);
    });

    it(`loses nothing unreported by a flipped bit in the ${where}, 500 times`, async (t) => {
      const { image, directory, length } = await prepare(t);
      const pick = wholeFrom(bytesMax);
      for (let round = 0; round < 500; round += 1) {
        const bit = pick(length * 8);
        await survives(image, directory, `bit ${bit}`, flip(bit));
      }
    });

    it(`loses nothing unreported where the ${where} was cut off, at every page`, async (t) => {
      const { image, directory, length } = await prepare(t);
      for (let at = 0; at < length; at += unit) {
        await survives(image, directory, `first ${at} bytes`, (path) => truncateSync(path, at));
      }
    });

    it(`loses nothing unreported by a page of zeros in the ${where}, at every page`, async (t) => {
      const { image, directory, length } = await prepare(t);
      for (let at = 0; at < length; at += unit) {
        await survives(image, directory, `bytes from ${at}`, zero(at, at + unit));
      }
    });
  }

  it('reports what a deleted file had, by the high-water mark', async (t) => {
    const image = await makeImage(t, 24, 2_000_000);
    const directory = directoryInMemory(t);
    assertNothingLostUnreported(image, await survive(image, directory, database, (path) => rmSync(path)));
  });

  it('reports what an older copy lacks', async (t) => {
    const image = await makeImage(t, 24, 2_000_000);
    const directory = directoryInMemory(t);
    cpSync(image.directory, directory, { recursive: true });
    const spool = await openTestSpool(directory, { bytesMax: 2_000_000 });
    const { epoch, seq } = spool.enqueue([testSample(1)])!;
    spool.close();
    for (const name of [database, wal]) cpSync(join(image.directory, name), join(directory, name));
    const again = await openTestSpool(directory, { bytesMax: 2_000_000 });
    const { delivered, events } = drain(again);
    again.close();
    assertNothingLostUnreported(image, { delivered, events });
    assert.ok(events.some((event) => tellsOf(event, epoch, seq)));
    assert.notEqual(again.epoch, epoch);
  });

  it('is set aside under a name, forwarded under its old epoch, and followed by a new one', async (t) => {
    const image = await makeImage(t, 24, 2_000_000);
    const directory = directoryInMemory(t);
    const { delivered, events } = await survive(image, directory, database, zero(0, pageBytes));
    const [aside, ...others] = keptFiles(directory);
    assert.deepEqual(others, []);
    assert.ok(existsSync(aside!));
    const started = events.findLast((event) => event.kind === 'epoch-started')!;
    assert.equal(started.previous?.epoch, image.epoch);
    assert.equal(started.previous?.seq, 25);
    assert.ok(started.reason.includes(basename(aside!)), started.reason);
    assert.ok([...delivered.keys()].every((key) => key.startsWith(image.epoch)));
    const spool = await openTestSpool(directory, { bytesMax: 2_000_000 });
    t.after(() => spool.close());
    assert.equal(spool.enqueue([testSample(1)])?.seq, 1);
    assert.deepEqual(spool.checkpointDue()?.previous, started.previous);
  });

  it('keeps the count of what was sent, where its ledger can be read', async (t) => {
    const directory = directoryInMemory(t);
    const first = await openTestSpool(directory);
    for (let ts = 1; ts <= 60; ts += 1) first.enqueue([testSample(ts, 6000)]);
    first.keepSent({ day: 20_000, bytes: 123_456 }, 'now');
    first.close();
    // The schema's page: SQLite makes nothing of the file any more.
    zero(0, pageBytes)(join(directory, database));
    const again = await openTestSpool(directory);
    t.after(() => again.close());
    assert.equal(keptFiles(directory).length, 1);
    assert.deepEqual(again.sent, { day: 20_000, bytes: 123_456 });
  });

  it('moves to a new file when its batches rot by the hundred', async (t) => {
    const directory = directoryInMemory(t);
    const first = await openTestSpool(directory);
    const { epoch } = first;
    for (let ts = 1; ts <= 300; ts += 1) first.enqueue([testSample(ts)]);
    first.note({ kind: 'quota', quota: 'x', limit: 1, state: 'reached' });
    first.close();
    const rot = new Database(join(directory, database));
    rot.exec('UPDATE batch SET samples = samples + 1 WHERE position % 1099511627776 <= 290');
    rot.close();
    const found = await openTestSpool(directory);
    assert.throws(() => found.lease(10, 'fifo'), { code: 'SpoolDamaged' });
    found.close();
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    const { delivered, events } = drain(spool);
    assert.equal(delivered.size, 10);
    for (let seq = 1; seq <= 290; seq += 1) assert.ok(events.some((event) => tellsOf(event, epoch, seq)));
    assert.equal(keptFiles(directory).length, 1);
  });

  const foreignSchemas: Record<string, string> = {
    'a trigger that aborts': "CREATE TRIGGER t BEFORE INSERT ON batch BEGIN SELECT RAISE(ABORT, 'no'); END",
    'a trigger that throws away': 'CREATE TRIGGER t AFTER INSERT ON batch BEGIN DELETE FROM batch; END',
    'a trigger on the ledger': 'CREATE TRIGGER t BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END',
    'an index': 'CREATE INDEX i ON batch (epoch)',
    'a view': 'CREATE VIEW v AS SELECT * FROM batch',
    'another table': 'CREATE TABLE extra (x)',
    'another column': 'ALTER TABLE batch ADD COLUMN extra INTEGER',
    'a table less': 'DROP TABLE checkpoint',
  };
  for (const [what, sql] of Object.entries(foreignSchemas)) {
    it(`with ${what} in it is set aside, and keeps storing`, async (t) => {
      const directory = directoryInMemory(t);
      const first = await openTestSpool(directory);
      for (let ts = 1; ts <= 5; ts += 1) first.enqueue([testSample(ts)]);
      first.close();
      const planted = new Database(join(directory, database));
      planted.exec(sql);
      planted.close();
      const spool = await openTestSpool(directory);
      t.after(() => spool.close());
      assert.equal(keptFiles(directory).length, 1);
      for (let ts = 6; ts <= 10; ts += 1) assert.ok(spool.enqueue([testSample(ts)]));
      assert.equal(drain(spool).delivered.size, 10);
    });
  }

  it('that is gone but for its WAL gives back what is in that, and nothing of it is taken for the new one', async (t) => {
    const directory = directoryInMemory(t);
    const first = await openTestSpool(join(directory, 'living'));
    const { epoch } = first.enqueue([testSample(1)])!;
    await first.rekey(testKeys('acme'));
    for (let ts = 2; ts <= 5; ts += 1) first.enqueue([testSample(ts)]);
    const dead = join(directory, 'dead');
    cpSync(join(directory, 'living'), dead, { recursive: true });
    first.close();
    rmSync(join(dead, database));
    const spool = await openTestSpool(dead);
    t.after(() => spool.close());
    assert.notEqual(spool.epoch, epoch);
    const { delivered, events } = drain(spool);
    for (let seq = 1; seq <= 5; seq += 1) {
      const isThere = delivered.has(`${epoch}/${seq}`) || events.some((event) => tellsOf(event, epoch, seq));
      assert.ok(isThere, `batch ${seq}`);
    }
    assert.equal(spool.enqueue([testSample(6)])?.seq, 1);
  });

  it('begins a new file beside one that is not a database', async (t) => {
    const directory = directoryInMemory(t);
    writeFileSync(join(directory, database), 'not a database, and never was one');
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    assert.equal(spool.enqueue([testSample(1)])?.seq, 1);
    const aside = keptFiles(directory)[0]!;
    assert.equal(readFileSync(aside, 'utf8'), 'not a database, and never was one');
  });
});

/** Without the zeros at the end, which no damage can touch. */
function usedBytes(file: string): number {
  const bytes = readFileSync(file);
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}
