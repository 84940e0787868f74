import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { DamagedFile } from '../../../src/spool/recovery/damaged-file.ts';
import { rowsOn } from '../../../src/spool/recovery/page-reader.ts';
import { randomBytesFrom } from '../../support/random.ts';
import { directoryInMemory } from '../../support/spool.ts';

describe('reader of raw pages', () => {
  it('reads the rows that SQLite wrote, of every type and size', (t) => {
    const directory = directoryInMemory(t);
    let run = 0;
    const column = fc.oneof(
      fc.constant(null),
      fc.maxSafeInteger(),
      fc.integer({ min: -2, max: 2 }),
      fc.string({ unit: 'grapheme', maxLength: 20 }),
      fc.integer({ min: 0, max: 20_000 }).map((size) => randomBytesFrom(size, size)),
    );
    const rows = fc.array(fc.tuple(column, column), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(rows, (written) => {
        const name = join(directory, String((run += 1)));
        const database = new Database(name);
        database.exec('PRAGMA page_size = 4096; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)');
        const insert = database.prepare('INSERT INTO t (a, b) VALUES (?, ?)');
        for (const row of written) insert.run(...row);
        const read = database.prepare('SELECT id, a, b FROM t').raw().all() as [number, unknown, unknown][];
        database.close();
        const file = new DamagedFile(name);
        const found = new Map([...file.rows()].map((row) => [row.rowid, row.values(file.latestPage)]));
        file.close();
        for (const [id, a, b] of read) assert.deepEqual(found.get(id), [null, a, b]);
      }),
      { numRuns: 50 },
    );
  });

  it('never throws, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (bytes) => {
        const page = Buffer.from(bytes);
        for (const row of rowsOn(page)) row.values(() => page);
      }),
      { numRuns: 2000 },
    );
  });
});
