import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Client } from 'pg';
import { openPostgresSink } from '../../src/backend/postgres-sink.ts';
import { Postgres } from '../support/postgres.ts';

const schema = readFileSync(join(import.meta.dirname, '../../config/postgres.sql'), 'utf8');

/** As an earlier version made the table, with what ANALYZE gathers in a table, a child, an index, and of two columns. */
const earlier = `
  COMMENT ON TABLE merestone.reading IS NULL;
  DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT attname FROM pg_attribute
      WHERE attrelid = 'merestone.reading'::regclass AND attnum > 0 AND NOT attisdropped
    LOOP EXECUTE format('ALTER TABLE merestone.reading ALTER COLUMN %I SET STATISTICS 100', name); END LOOP;
  END $$;
  DROP TABLE IF EXISTS merestone.child; CREATE TABLE merestone.child () INHERITS (merestone.reading);
  DROP INDEX IF EXISTS merestone.by_lower; CREATE INDEX by_lower ON merestone.reading (lower(device));
  CREATE STATISTICS merestone.pairs (mcv) ON tenant, device FROM merestone.reading;
  INSERT INTO merestone.reading SELECT 'beta', 'beta_gw-0001', 'e', n, 0, 'SecretPump', 'p', now(), n,
    NULL, NULL, NULL, 'good', false FROM generate_series(1, 20000) AS n ON CONFLICT DO NOTHING;
  INSERT INTO merestone.child SELECT 'beta', 'beta_gw-0001', 'e', n, 0, 'SecretPump', 'p', now(), n,
    NULL, NULL, NULL, 'good', false FROM generate_series(1, 20000) AS n;
  ANALYZE merestone.reading; ANALYZE merestone.child`;

/** What a tenant may ask with a name that it guesses, and the same of a name that is none. */
const questions = [
  "tenant = '?'",
  "device = '?'",
  "tenant = 'beta' AND device = '?'",
  "lower(device) = lower('?')",
];

describe('what an earlier version let ANALYZE gather, in a real PostgreSQL', () => {
  let postgres: Postgres;
  let admin: Client;
  let owner: Client;
  let tenant: Client;

  before(async () => {
    postgres = await Postgres.start();
    admin = await postgres.connect('postgres', 'secret');
    await admin.query(`CREATE ROLE maker LOGIN PASSWORD 'm'; GRANT CREATE ON DATABASE postgres TO maker;
      CREATE ROLE acme_app LOGIN PASSWORD 'a'; CREATE ROLE writer LOGIN PASSWORD 'w'`);
    owner = await postgres.connect('maker', 'm');
    await owner.query(schema);
    await owner.query(`GRANT USAGE ON SCHEMA merestone TO acme_app, writer;
      GRANT SELECT ON merestone.reading TO acme_app; GRANT INSERT ON merestone.reading TO writer;
      INSERT INTO merestone.access VALUES ('acme_app', 'acme')`);
    tenant = await postgres.connect('acme_app', 'a');
  });

  after(async () => {
    for (const client of [tenant, owner, admin]) await client.end();
    await postgres.close();
  });

  async function plan(where: string): Promise<string> {
    const { rows } = await tenant.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN (COSTS on) SELECT * FROM merestone.reading WHERE ${where}`,
    );
    return rows.map((line) => line['QUERY PLAN']).join('\n');
  }

  /** Of the questions: those whose answer tells a name that is there from one that is not. */
  async function telling(): Promise<string[]> {
    const found: string[] = [];
    for (const question of questions) {
      const real = question === "tenant = '?'" ? 'beta' : 'SecretPump';
      const there = await plan(question.replace('?', real));
      const none = await plan(question.replace('?', 'NobodyHere'));
      if (
        there.replaceAll(/beta|SecretPump|secretpump/g, 'x') !==
        none.replaceAll(/beta|NobodyHere|nobodyhere/g, 'x')
      ) {
        found.push(question);
      }
    }
    return found;
  }

  async function writerIsRefused(): Promise<boolean> {
    try {
      await (await openPostgresSink(postgres.url('writer', 'w'))).close();
      return false;
    } catch (error) {
      assert.match((error as Error).message, /not as this version makes it/);
      return true;
    }
  }

  async function nothingIsTold(): Promise<void> {
    assert.deepEqual(await telling(), []);
    for (const view of ['pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs']) {
      const { rowCount } = await tenant.query(`SELECT FROM ${view} WHERE schemaname = 'merestone'`);
      assert.equal(rowCount, 0, view);
    }
    const { rows } = await admin.query(`SELECT starelid::regclass::text FROM pg_statistic
      JOIN pg_class ON pg_class.oid = starelid WHERE relnamespace = 'merestone'::regnamespace`);
    assert.deepEqual(rows, []);
  }

  for (const [who, client] of [
    ['the owner', () => owner],
    ['a superuser', () => admin],
  ] as const) {
    it(`is told by EXPLAIN to every tenant, until ${who} runs postgres.sql, and never again`, async () => {
      await owner.query(earlier);
      assert.deepEqual(await telling(), questions);
      assert.ok(await writerIsRefused());
      await client().query(schema);
      await nothingIsTold();
      await owner.query('ANALYZE merestone.reading; ANALYZE merestone.child');
      await nothingIsTold();
      assert.equal(await writerIsRefused(), false);
      const { rows } = await admin.query('SELECT count(*)::int FROM merestone.reading');
      assert.deepEqual(rows, [{ count: 40_000 }]);
    });
  }

  it('stays, and is warned of and refused, where the owner’s view is in the way', async () => {
    await owner.query(`${earlier}; CREATE VIEW merestone.seen WITH (security_invoker = true)
      AS SELECT device FROM merestone.reading`);
    const warnings: string[] = [];
    owner.on('notice', ({ message }) => warnings.push(String(message)));
    await owner.query(schema);
    assert.match(
      warnings.join('\n'),
      /statistics of device: cannot alter type.*\n.*still tells.* by device: drop the views/,
    );
    assert.ok(await writerIsRefused());
    await admin.query(schema);
    await nothingIsTold();
    assert.equal(await writerIsRefused(), false);
  });
});
