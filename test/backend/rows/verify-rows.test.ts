import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Client } from 'pg';
import { openPostgresSink } from '../../../src/backend/postgres-sink.ts';
import { openFileSink } from '../../../src/backend/row-sink.ts';
import type { Row } from '../../../src/backend/row.ts';
import { ndjsonRows } from '../../../src/backend/rows/ndjson-rows.ts';
import { postgresRows } from '../../../src/backend/rows/postgres-rows.ts';
import { verifyRows, type RowsReport } from '../../../src/backend/rows/verify-rows.ts';
import { StateStore } from '../../../src/backend/state-store.ts';
import { defaultLog } from '../../../src/backend/tree/tree-head.ts';
import { loadGatewayTrust } from '../../../src/cli/gateway-trust.ts';
import { createAuthority } from '../../../src/simulator/certificate-authority.ts';
import { asideLimits } from '../../support/parked-limits.ts';
import { runCommand } from '../../support/daemon.ts';
import { gateways, KeptEvidence } from '../../support/kept-evidence.ts';
import { Postgres } from '../../support/postgres.ts';
import { firstTs, issueSigner, SealedStream } from '../../support/sealed-stream.ts';

const { one, two, other } = gateways;

/** One fault in the rows, as JSON lines and as SQL, and what is then said of which batch. */
interface Fault {
  lines: (rows: Row[]) => Row[];
  sql: string;
  said: [kind: string, from: number, to: number, message: RegExp][];
}

const isAt = (row: Row, seq: number): boolean => row.gateway === one.gateway && row.seq === seq;
const where = (seq: number): string => `gateway = '${one.gateway}' AND epoch NOT LIKE '%~%' AND seq = ${seq}`;

const faults: Record<string, Fault> = {
  'a value altered': {
    lines: (rows) => rows.map((row) => (isAt(row, 5) && row.point === 'power' ? { ...row, value: 6 } : row)),
    sql: `UPDATE merestone.reading SET value = 6 WHERE ${where(5)} AND point = 'power'`,
    said: [['altered', 5, 5, /rows are not those that were written/]],
  },
  'a time altered by a millisecond': {
    lines: (rows) =>
      rows.map((row) => {
        if (!isAt(row, 6)) return row;
        return { ...row, ts: row.ts + 1, time: new Date(row.ts + 1).toISOString() };
      }),
    sql: `UPDATE merestone.reading SET time = time + interval '1 ms' WHERE ${where(6)}`,
    said: [['altered', 6, 6, /not those/]],
  },
  'one of the two times of a row altered': {
    lines: (rows) => rows.map((row) => (isAt(row, 6) ? { ...row, time: new Date(0).toISOString() } : row)),
    sql: `UPDATE merestone.reading SET time = time + interval '1 us' WHERE ${where(6)}`,
    said: [['altered', 6, 6, /not those/]],
  },
  'a quality altered': {
    lines: (rows) => rows.map((row) => (isAt(row, 7) ? { ...row, quality: 'stale' as const } : row)),
    sql: `UPDATE merestone.reading SET quality = 'stale' WHERE ${where(7)}`,
    said: [['altered', 7, 7, /not those/]],
  },
  'a number made a text of it': {
    lines: (rows) => rows.map((row) => (isAt(row, 5) ? { ...row, value: String(row.value) } : row)),
    sql: `UPDATE merestone.reading SET value_text = value::text, value = NULL WHERE ${where(5)}`,
    said: [['altered', 5, 5, /not those/]],
  },
  'a row taken out': {
    lines: (rows) => rows.filter((row) => !isAt(row, 5) || row.point !== 'power'),
    sql: `DELETE FROM merestone.reading WHERE ${where(5)} AND point = 'power'`,
    said: [['missing', 5, 5, /^1 of 2 rows are there/]],
  },
  'batches taken out': {
    lines: (rows) => rows.filter((row) => ![5, 6, 7, 9].some((seq) => isAt(row, seq))),
    sql: `DELETE FROM merestone.reading WHERE gateway = '${one.gateway}' AND seq IN (5, 6, 7, 9)`,
    said: [
      ['missing', 5, 7, /^all 6 rows are gone/],
      ['missing', 9, 9, /^all 2 rows are gone/],
    ],
  },
  'a row added to a batch': {
    lines: (rows) => rows.flatMap((row) => (isAt(row, 8) && row.point === 'power' ? [row, row] : [row])),
    sql: `INSERT INTO merestone.reading
          SELECT tenant, gateway, epoch, seq, 77, device, point, time, value, value_text, value_flag, unit, quality,
                 estimated FROM merestone.reading WHERE ${where(8)} AND point = 'power'`,
    said: [['added', 8, 8, /^3 rows are there, 2 were written/]],
  },
  'a batch added': {
    lines: (rows) => [...rows, ...rows.filter((row) => isAt(row, 8)).map((row) => ({ ...row, seq: 4000 }))],
    sql: `INSERT INTO merestone.reading
          SELECT tenant, gateway, epoch, 4000, place, device, point, time, value, value_text, value_flag, unit,
                 quality, estimated FROM merestone.reading WHERE ${where(8)}`,
    said: [['added', 4000, 4000, /^2 rows of a batch that the evidence does not have/]],
  },
  'a batch given to another gateway': {
    lines: (rows) => rows.map((row) => (isAt(row, 9) ? { ...row, gateway: two.gateway, seq: 100 } : row)),
    sql: `UPDATE merestone.reading SET gateway = '${two.gateway}', seq = 100 WHERE ${where(9)}`,
    said: [
      ['added', 100, 100, /evidence does not have/],
      ['missing', 9, 9, /gone/],
    ],
  },
};

describe('rows held against the digests in the evidence', () => {
  let root: string;
  let kept: KeptEvidence;
  let postgres: Postgres;
  let admin: Client;
  let output: string;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'verify-rows-'));
    output = join(root, 'rows.ndjson');
    const authority = await createAuthority('Test CA');
    writeFileSync(join(root, 'ca.crt'), authority.certificatePem);
    postgres = await Postgres.start();
    admin = await postgres.connect('postgres', 'secret');
    await admin.query(readFileSync(join(import.meta.dirname, '../../../config/postgres.sql'), 'utf8'));
    await admin.query(`
      CREATE ROLE writer LOGIN PASSWORD 'w';
      GRANT USAGE ON SCHEMA merestone TO writer;
      GRANT INSERT ON merestone.reading TO writer;
      CREATE ROLE acme_app LOGIN PASSWORD 'a';
      GRANT USAGE ON SCHEMA merestone TO acme_app;
      GRANT SELECT ON merestone.reading TO acme_app;
      INSERT INTO merestone.access (role, tenant) VALUES ('acme_app', 'acme')`);
    const file = await openFileSink(output, new StateStore(':memory:', asideLimits));
    const table = await openPostgresSink(postgres.url('writer', 'w'));
    const write = async (rows: readonly Row[]): Promise<void> => {
      await file.write(rows);
      await table.write(rows);
    };
    const vouchFor = loadGatewayTrust([join(root, 'ca.crt')]);
    kept = new KeptEvidence(root, vouchFor, {
      sink: { write, mark: () => file.mark(), close: async () => {} },
    });
    await live(await issueSigner(authority, one));
    await file.close();
    await table.close();
  });

  after(async () => {
    await admin.end();
    await postgres.close();
    rmSync(root, { recursive: true });
  });

  /** Three gateways; values that the two outputs hold differently; a second chain; the same batch twice. */
  async function live(signer: Awaited<ReturnType<typeof issueSigner>>): Promise<void> {
    const stream = new SealedStream(one);
    const odd = {
      nul: 'a\0b',
      half: '\ud800',
      minus: -0,
      big: '18446744073709551615',
      flag: true,
      tiny: 5e-324,
    };
    stream.append([{ device: 'méter', ts: firstTs, values: odd, quality: { gone: 'exception:2' } }]);
    stream.append([{ device: 'meter', ts: firstTs + 1, clock: 'estimated', values: { third: 1 / 3 } }]);
    stream.append([]);
    stream.appendMany(6);
    for (let seq = 1; seq <= 4; seq++) await kept.take(one, 'telemetry', stream.payload(seq));
    await kept.run(stream, signer, 5, 9);
    const forked = new SealedStream(one).appendMany(3);
    await kept.take(one, 'telemetry', forked.payload(2));
    await kept.take(one, 'telemetry', stream.payload(5));
    for (const origin of [two, other]) {
      const others = new SealedStream(origin).appendMany(3);
      for (const seq of [1, 2, 3]) await kept.take(origin, 'telemetry', others.payload(seq));
    }
    kept.end();
  }

  const options = () => {
    const { folder, heads } = kept;
    return {
      folder,
      heads,
      tenant: 'acme',
      log: defaultLog,
      keys: undefined,
      from: 0,
      to: kept.clock.wallMs(),
    };
  };
  const fromFile = (...paths: string[]): Promise<RowsReport> => verifyRows(ndjsonRows(paths), options());
  const fromTable = (): Promise<RowsReport> =>
    verifyRows(postgresRows(postgres.url('acme_app', 'a'), 'acme'), options());

  it('are all found where nothing was done to them, in both outputs', async () => {
    for (const report of [await fromFile(output), await fromTable()]) {
      assert.deepEqual(report.faults, []);
      assert.deepEqual([report.damaged, report.noRows, report.withheld, report.older], [[], [], [], 0]);
      // Nine batches, of which one has no rows, the one of the second chain, and another gateway's three.
      assert.deepEqual(report.good, { batches: 12, rows: 7 + 1 + 6 * 2 + 2 + 3 * 2 });
    }
  });

  it('are found in several files, the oldest first', async () => {
    const lines = readFileSync(output, 'utf8').trimEnd().split('\n');
    const parts = [lines.slice(0, 9), lines.slice(9)].map((part, index) => {
      const path = join(root, `part-${index}.ndjson`);
      writeFileSync(path, part.map((line) => `${line}\n`).join(''));
      return path;
    });
    assert.deepEqual((await fromFile(...parts)).faults, []);
    const missing = (await fromFile(parts[1]!)).faults;
    assert.ok(missing.length > 0 && missing.every(({ kind }) => kind === 'missing'), JSON.stringify(missing));
  });

  function assertSaid({ faults }: RowsReport, said: Fault['said']): void {
    const found = faults.map(({ kind, from, to }) => [kind, from, to]);
    const order = (a: unknown[], b: unknown[]): number => String(a).localeCompare(String(b));
    assert.deepEqual(found.toSorted(order), said.map(([kind, from, to]) => [kind, from, to]).toSorted(order));
    for (const [kind, from, , message] of said) {
      const fault = faults.find((each) => each.kind === kind && each.from === from)!;
      assert.match(fault.message, message);
    }
  }

  for (const [what, { lines, sql, said }] of Object.entries(faults)) {
    it(`show ${what}, in both outputs`, async () => {
      const rows = readFileSync(output, 'utf8').trimEnd().split('\n');
      const path = join(root, 'changed.ndjson');
      const changed = lines(rows.map((line) => JSON.parse(line) as Row));
      writeFileSync(path, changed.map((row) => `${JSON.stringify(row)}\n`).join(''));
      assertSaid(await fromFile(path), said);
      await admin.query('CREATE TABLE spare AS SELECT * FROM merestone.reading');
      try {
        await admin.query(sql);
        assertSaid(await fromTable(), said);
      } finally {
        await admin.query('TRUNCATE merestone.reading');
        await admin.query('INSERT INTO merestone.reading SELECT * FROM spare; DROP TABLE spare');
      }
    });
  }

  it('are told on the command line, with the exit code', async () => {
    const words = [
      'backend',
      'verify-rows',
      '--tenant',
      'acme',
      '--evidence',
      kept.folder,
      '--to',
      '2100-01-01',
    ];
    const heads = ['--heads', kept.heads];
    const changed = join(root, 'cut.ndjson');
    writeFileSync(changed, `nonsense\n${readFileSync(output, 'utf8').split('\n').slice(8).join('\n')}`);
    const url = postgres.url('acme_app', 'a');
    const [file, table, cut, neither, gone] = await Promise.all([
      runCommand([...words, ...heads, '--rows', output]),
      runCommand([...words, ...heads, '--postgres', url]),
      runCommand([...words, '--rows', changed]),
      runCommand(words),
      runCommand([...words, '--rows', join(root, 'none')]),
    ]);
    assert.equal(file.exitCode, 0, file.stdout + file.stderr);
    assert.match(file.stdout, /^Rows of tenant acme: 28 rows of 12 batches are those that were written/);
    assert.match(file.stdout, /^Nothing is altered, missing or added\.$/m);
    assert.equal(table.exitCode, 0, table.stdout + table.stderr);
    assert.equal(table.stdout, file.stdout);
    assert.equal(cut.exitCode, 74);
    assert.match(cut.stdout, /missing acme_gw-0001 \w+ 1–2: all 8 rows are gone/);
    assert.match(cut.stdout, /No rows:\n {2}.*cut\.ndjson:1/);
    assert.match(cut.stdout, /What this cannot show:\n {2}without --heads/);
    assert.deepEqual([neither.exitCode, gone.exitCode], [64, 66]);
  });

  it('are not believed by evidence that was changed', async () => {
    const evidence = kept.copyTo(join(root, 'tampered'));
    const [month] = evidence.months(one);
    evidence.rewrite(one, month!, (lines) => lines.toSpliced(0, 1));
    const { damaged } = await verifyRows(ndjsonRows([output]), { ...options(), folder: evidence.folder });
    assert.match(damaged.join('\n'), /are not those that were signed/);
  });
});
