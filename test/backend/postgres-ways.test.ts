import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Client } from 'pg';
import { openPostgresSink } from '../../src/backend/postgres-sink.ts';
import { ways } from '../../src/backend/postgres-ways.ts';
import type { MerestoneError } from '../../src/base/error.ts';
import { Postgres } from '../support/postgres.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/backend.md'), 'utf8');
const schema = readFileSync(join(import.meta.dirname, '../../config/postgres.sql'), 'utf8');

/** A way past the policy, how it is opened and closed, and what is said of it. */
const cases: [way: string, what: string, make: string, undo: string, found: RegExp][] = [
  [
    'row security',
    'row security that is not forced',
    'ALTER TABLE merestone.reading NO FORCE ROW LEVEL SECURITY',
    schema,
    /no forced row-level security on merestone\.reading/,
  ],
  [
    'row security',
    'row security that is off',
    'ALTER TABLE merestone.reading DISABLE ROW LEVEL SECURITY',
    schema,
    /no forced row-level security on merestone\.reading/,
  ],
  [
    'row security',
    'row security of access that is off',
    'ALTER TABLE merestone.access DISABLE ROW LEVEL SECURITY',
    schema,
    /no forced row-level security on merestone\.access/,
  ],
  [
    'policies',
    'a policy beside ours',
    'CREATE POLICY more ON merestone.reading USING (true)',
    'DROP POLICY more ON merestone.reading',
    /more than their own rows: more ON merestone\.reading/,
  ],
  [
    'policies',
    'a policy for updates',
    'CREATE POLICY more ON merestone.reading FOR UPDATE USING (true)',
    'DROP POLICY more ON merestone.reading',
    /more ON merestone\.reading/,
  ],
  [
    'policies',
    'a policy for one role',
    'CREATE POLICY more ON merestone.reading FOR SELECT TO acme_app USING (true)',
    'DROP POLICY more ON merestone.reading',
    /more ON merestone\.reading/,
  ],
  [
    'policies',
    'a policy of access',
    'CREATE POLICY more ON merestone.access USING (true)',
    'DROP POLICY more ON merestone.access',
    /more ON merestone\.access/,
  ],
  [
    'own policies',
    'a changed policy',
    'ALTER POLICY own_tenant ON merestone.reading USING (true)',
    schema,
    /own_tenant ON merestone\.reading; .*not as this version makes it: its policies/,
  ],
  [
    'policies',
    'a changed policy of access',
    "ALTER POLICY consumer ON merestone.access USING (pg_has_role('acme_app', 'USAGE'))",
    schema,
    /consumer ON merestone\.access/,
  ],
  [
    'own policies',
    'a missing policy',
    'DROP POLICY own_tenant ON merestone.reading',
    schema,
    /not as this version makes it: its policies/,
  ],
  [
    'statistics',
    'statistics of a column',
    'ALTER TABLE merestone.reading ALTER tenant SET STATISTICS 100',
    schema,
    /EXPLAIN tells.*statistics of merestone\.reading/,
  ],
  [
    'statistics',
    'statistics of an index',
    'CREATE INDEX lower_device ON merestone.reading (lower(device))',
    'DROP INDEX merestone.lower_device',
    /statistics of merestone\.lower_device/,
  ],
  [
    'statistics',
    'extended statistics',
    'CREATE STATISTICS merestone.pairs ON tenant, gateway FROM merestone.reading',
    schema,
    /statistics pairs/,
  ],
  [
    'rights',
    'a right to truncate',
    'GRANT TRUNCATE ON merestone.reading TO acme_app',
    'REVOKE TRUNCATE ON merestone.reading FROM acme_app',
    /right that no policy holds: TRUNCATE ON merestone\.reading TO acme_app/,
  ],
  [
    'rights',
    'a right to make triggers, of all',
    'GRANT TRIGGER ON merestone.reading TO PUBLIC',
    'REVOKE TRIGGER ON merestone.reading FROM PUBLIC',
    /TRIGGER ON merestone\.reading TO PUBLIC/,
  ],
  [
    'rights',
    'a right to refer to a column',
    'GRANT REFERENCES (tenant) ON merestone.reading TO acme_app',
    'REVOKE REFERENCES (tenant) ON merestone.reading FROM acme_app',
    /REFERENCES ON merestone\.reading TO acme_app/,
  ],
  [
    'rights',
    'a child with grants of its own',
    `CREATE TABLE merestone.child () INHERITS (merestone.reading); GRANT SELECT (tenant) ON merestone.child TO acme_app; ${schema}`,
    'DROP TABLE merestone.child',
    /SELECT ON merestone\.child TO acme_app/,
  ],
  [
    'rights',
    'a child of another owner',
    `CREATE TABLE merestone.child () INHERITS (merestone.reading); ALTER TABLE merestone.child OWNER TO acme_app; ${schema}`,
    'DROP TABLE merestone.child',
    /merestone\.child OWNED BY acme_app/,
  ],
  [
    'statistics',
    'a child with statistics',
    'CREATE TABLE merestone.child () INHERITS (merestone.reading)',
    'DROP TABLE merestone.child',
    /statistics of merestone\.child/,
  ],
  [
    'rights',
    'a parent that others read',
    'CREATE TABLE public.parent (tenant text NOT NULL); ALTER TABLE public.parent ALTER tenant SET STATISTICS 0; ALTER TABLE merestone.reading INHERIT public.parent; GRANT SELECT ON public.parent TO acme_app',
    'ALTER TABLE merestone.reading NO INHERIT public.parent; DROP TABLE public.parent',
    /SELECT ON parent TO acme_app/,
  ],
  [
    'tenants’ roles',
    'a tenant’s superuser',
    'ALTER ROLE acme_app SUPERUSER',
    'ALTER ROLE acme_app NOSUPERUSER',
    /tenant’s role can do more.*: acme_app[;]/,
  ],
  [
    'tenants’ roles',
    'a tenant’s BYPASSRLS',
    'ALTER ROLE acme_app BYPASSRLS',
    'ALTER ROLE acme_app NOBYPASSRLS',
    /can do more.*: acme_app[;]/,
  ],
  [
    'tenants’ roles',
    'a tenant’s replication',
    'ALTER ROLE acme_app REPLICATION',
    'ALTER ROLE acme_app NOREPLICATION',
    /can do more.*: acme_app[;]/,
  ],
  [
    'tenants’ roles',
    'a tenant who makes roles',
    'ALTER ROLE acme_app CREATEROLE',
    'ALTER ROLE acme_app NOCREATEROLE',
    /can do more.*: acme_app[;]/,
  ],
  [
    'tenants’ roles',
    'a tenant in a group without policies',
    'CREATE ROLE dba BYPASSRLS NOLOGIN; CREATE ROLE team IN ROLE dba; GRANT team TO acme_app',
    'DROP ROLE team; DROP ROLE dba',
    /can do more.*: acme_app \(as dba\)/,
  ],
  [
    'tenants’ roles',
    'a tenant in the server’s files',
    'GRANT pg_read_server_files TO acme_app',
    'REVOKE pg_read_server_files FROM acme_app',
    /acme_app \(as pg_read_server_files\)/,
  ],
  [
    'tenants’ roles',
    'a tenant who writes',
    'GRANT INSERT (tenant) ON merestone.reading TO acme_app',
    'REVOKE INSERT (tenant) ON merestone.reading FROM acme_app',
    /can do more.*: acme_app[;]/,
  ],
  [
    'tenants’ roles',
    'a tenant who may become the writer',
    'GRANT writer TO acme_app',
    'REVOKE writer FROM acme_app',
    /acme_app \(as writer\)/,
  ],
  [
    'views',
    'a view of a superuser',
    'CREATE VIEW public.seen AS SELECT * FROM merestone.reading; GRANT SELECT ON public.seen TO acme_app',
    'DROP VIEW public.seen',
    /a view shows.*: seen[;]/,
  ],
  [
    'views',
    'a column of a view of a view',
    'CREATE VIEW public.a AS SELECT * FROM merestone.reading; CREATE VIEW public.b AS SELECT * FROM public.a; GRANT SELECT (tenant) ON public.b TO PUBLIC',
    'DROP VIEW public.a CASCADE',
    /a view shows.*: b[;]/,
  ],
  [
    'views',
    'a materialized view',
    'CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM merestone.reading; GRANT SELECT ON public.kept TO acme_app',
    'DROP MATERIALIZED VIEW public.kept',
    /a view shows.*: kept[;]/,
  ],
  [
    'views',
    'a view of one with BYPASSRLS',
    'CREATE ROLE dba BYPASSRLS; CREATE VIEW public.seen AS SELECT * FROM merestone.access; CREATE VIEW public.seen2 AS SELECT * FROM merestone.reading; ALTER VIEW public.seen2 OWNER TO dba; GRANT SELECT ON public.seen2 TO acme_app',
    'DROP VIEW public.seen, public.seen2; DROP ROLE dba',
    /a view shows.*: seen2[;]/,
  ],
  [
    'functions',
    'a function of a superuser',
    "CREATE FUNCTION public.peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT tenant FROM merestone.reading'",
    'DROP FUNCTION public.peek',
    /a function reads as its owner.*: peek\(\)/,
  ],
  [
    'functions',
    'a function of PL/pgSQL, by its search path',
    "CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = merestone AS 'BEGIN RETURN (SELECT count(*) FROM reading); END'",
    'DROP FUNCTION public.peek',
    /a function reads.*: peek\(\)/,
  ],
  [
    'functions',
    'a function with a body of SQL',
    'CREATE FUNCTION public.peek() RETURNS bigint SECURITY DEFINER RETURN (SELECT count(*) FROM merestone.reading)',
    'DROP FUNCTION public.peek',
    /a function reads.*: peek\(\)/,
  ],
  [
    'functions',
    'a function over a view',
    "CREATE VIEW public.hidden AS SELECT * FROM merestone.reading; CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.hidden'",
    'DROP FUNCTION public.peek; DROP VIEW public.hidden',
    /a function reads.*: peek\(\)/,
  ],
  [
    'functions',
    'a procedure',
    "CREATE PROCEDURE public.peek() LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM merestone.reading'",
    'DROP PROCEDURE public.peek',
    /a function reads.*: peek\(\)/,
  ],
  [
    'triggers',
    'a trigger',
    "CREATE FUNCTION public.copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER copies AFTER INSERT ON merestone.reading FOR EACH ROW EXECUTE FUNCTION public.copy()",
    'DROP FUNCTION public.copy CASCADE',
    /a trigger may copy.*: copies ON merestone\.reading/,
  ],
  [
    'rules',
    'a rule',
    'CREATE TABLE public.copied (tenant text); CREATE RULE copies AS ON INSERT TO merestone.reading DO ALSO INSERT INTO public.copied VALUES (NEW.tenant)',
    'DROP RULE copies ON merestone.reading; DROP TABLE public.copied',
    /a rule may copy.*: copies ON merestone\.reading/,
  ],
  [
    'publications',
    'a publication',
    'CREATE PUBLICATION out FOR TABLE merestone.reading',
    'DROP PUBLICATION out',
    /a publication sends.*: out[;]/,
  ],
  [
    'publications',
    'a publication of all',
    'CREATE PUBLICATION out FOR ALL TABLES',
    'DROP PUBLICATION out',
    /a publication sends.*: out[;]/,
  ],
  [
    'foreign tables',
    'a foreign table',
    "CREATE FOREIGN DATA WRAPPER loop; CREATE SERVER loop FOREIGN DATA WRAPPER loop; CREATE FOREIGN TABLE public.far (tenant text) SERVER loop OPTIONS (schema_name 'merestone', table_name 'reading'); GRANT SELECT ON public.far TO acme_app",
    'DROP FOREIGN DATA WRAPPER loop CASCADE',
    /a foreign table reads.*: far[;]/,
  ],
  [
    'own role',
    'a writer that is a superuser',
    'ALTER ROLE writer SUPERUSER',
    'ALTER ROLE writer NOSUPERUSER',
    /this role is a superuser or has BYPASSRLS.*: writer[;]/,
  ],
  [
    'own role',
    'a writer that may become one',
    'CREATE ROLE dba BYPASSRLS NOLOGIN; GRANT dba TO writer',
    'DROP ROLE dba',
    /this role is a superuser or has BYPASSRLS.*: writer \(as dba\)/,
  ],
];

describe('ways past the tenants’ policy, in a real PostgreSQL', () => {
  let postgres: Postgres;
  let admin: Client;

  before(async () => {
    postgres = await Postgres.start();
    admin = await postgres.connect('postgres', 'secret');
    await admin.query(schema);
    await admin.query(`
      CREATE ROLE writer LOGIN PASSWORD 'w';
      GRANT USAGE ON SCHEMA merestone TO writer;
      GRANT INSERT ON merestone.reading TO writer;
      CREATE ROLE acme_app LOGIN PASSWORD 'a';
      GRANT USAGE ON SCHEMA merestone TO acme_app;
      GRANT SELECT ON merestone.reading TO acme_app;
      INSERT INTO merestone.access VALUES ('acme_app', 'acme')`);
  });

  after(async () => {
    await admin.end();
    await postgres.close();
  });

  async function refusal(): Promise<MerestoneError | undefined> {
    try {
      await (await openPostgresSink(postgres.url('writer', 'w'))).close();
      return undefined;
    } catch (error) {
      return error as MerestoneError;
    }
  }

  for (const [, what, make, undo, found] of cases) {
    it(`are refused, with what to do: ${what}`, async () => {
      assert.equal((await refusal())?.describe(), undefined);
      await admin.query(make);
      const error = await refusal();
      await admin.query(undo);
      assert.equal(error?.code, 'DatabaseRefused', error?.stack ?? 'it was not refused');
      assert.match(error.describe(), found);
    });
  }

  it('have a case and a line of the documentation each', () => {
    const names = ways.map(({ name }) => name);
    assert.deepEqual([...new Set(cases.map(([way]) => way))].sort(), names.toSorted());
    const [, table = ''] = page.split('| looked for | why |\n|---|---|\n');
    assert.deepEqual(
      [...table.split('\n\n')[0]!.matchAll(/^\| ([^|]+?) \|/gm)].map(([, name]) => name),
      names,
    );
  });

  it('are no ways where they are held, or where somebody stands for them', async () => {
    const fine = `
      CREATE VIEW public.fair WITH (security_invoker = true) AS SELECT * FROM merestone.reading;
      GRANT SELECT ON public.fair TO acme_app;
      CREATE VIEW public.own AS SELECT * FROM merestone.reading;
      CREATE POLICY less ON merestone.reading AS RESTRICTIVE USING (time > 'epoch');
      CREATE ROLE readers; CREATE ROLE member IN ROLE readers;
      GRANT SELECT ON merestone.reading TO readers; INSERT INTO merestone.access VALUES ('readers', 'beta');
      CREATE FUNCTION public.hidden() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM merestone.reading';
      REVOKE EXECUTE ON FUNCTION public.hidden FROM PUBLIC;
      CREATE FUNCTION public.fair_count() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM merestone.reading';
      CREATE FUNCTION public.other() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1::bigint';
      CREATE VIEW public.totals AS SELECT count(*) FROM merestone.reading; GRANT SELECT ON public.totals TO PUBLIC;
      COMMENT ON VIEW public.totals IS 'all tenants: how much there is';
      CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY rows; RETURN NULL; END';
      CREATE TRIGGER tells AFTER INSERT ON merestone.reading EXECUTE FUNCTION public.tell();
      COMMENT ON TRIGGER tells ON merestone.reading IS 'all tenants: says that rows came';
      CREATE PUBLICATION copy FOR TABLE merestone.reading;
      COMMENT ON PUBLICATION copy IS 'all tenants: the second site';`;
    await admin.query(fine);
    const error = await refusal();
    await admin.query(`DROP VIEW public.fair, public.own, public.totals; DROP POLICY less ON merestone.reading;
      DELETE FROM merestone.access WHERE tenant = 'beta'; DROP OWNED BY readers; DROP ROLE member; DROP ROLE readers;
      DROP FUNCTION public.hidden, public.fair_count, public.other; DROP FUNCTION public.tell CASCADE;
      DROP PUBLICATION copy`);
    assert.equal(error?.describe(), undefined);
  });
});
