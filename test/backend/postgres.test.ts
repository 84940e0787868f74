import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Client } from 'pg';
import { connectAsync } from 'mqtt';
import { openPostgresSink } from '../../src/backend/postgres-sink.ts';
import { atOnce } from '../../src/base/steps.ts';
import { rowsOf, type Row } from '../../src/backend/row.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import { eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { ConsumerBench } from '../support/consumer-bench.ts';
import { Postgres } from '../support/postgres.ts';
import { SealedStream } from '../support/sealed-stream.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };
const schema = readFileSync(join(import.meta.dirname, '../../config/postgres.sql'), 'utf8');

function rows(stream: SealedStream, seq: number): Row[] {
  return atOnce(rowsOf(JSON.parse(stream.payload(seq).toString()) as TelemetryBatch, () => 'W'));
}

describe('rows in a real PostgreSQL', () => {
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
      CREATE ROLE nobody LOGIN PASSWORD 'n';`);
    for (const tenant of ['acme', 'beta']) {
      await admin.query(`
        CREATE ROLE ${tenant}_app LOGIN PASSWORD '${tenant}';
        GRANT USAGE ON SCHEMA merestone TO ${tenant}_app;
        GRANT SELECT ON merestone.reading TO ${tenant}_app;
        INSERT INTO merestone.access (role, tenant) VALUES ('${tenant}_app', '${tenant}')`);
    }
    const sink = await openPostgresSink(postgres.url('writer', 'w'));
    for (const origin of [acme, beta]) {
      const stream = new SealedStream(origin).appendMany(3);
      for (const seq of [1, 2, 3]) await sink.write(rows(stream, seq));
    }
    await sink.close();
  });

  after(async () => {
    await admin.end();
    await postgres.close();
  });

  it('are there once, however often they are written, and as exact as they came', async () => {
    const stream = new SealedStream({ tenant: 'gamma', gateway: 'gamma_gw-0001' });
    const ts = 1_763_842_123_456;
    stream.append([
      {
        device: 'm "1"\\',
        ts,
        values: { a: 0.1, b: 1.7976931348623157e308, big: '18446744073709551615', on: false },
      },
      {
        device: 'm "1"\\',
        ts,
        values: { a: -5e-324, text: 'nul\0, {"x"}, käse, \ud800' },
        quality: { z: 'crc' },
      },
      { device: 'm2', ts: ts + 1, clock: 'estimated', values: { a: 9007199254740992 } },
    ]);
    const sink = await openPostgresSink(postgres.url('writer', 'w'));
    for (let times = 0; times < 3; times++) await sink.write(rows(stream, 1));
    await sink.close();
    const stored = await admin.query({
      text: `SELECT device, point, value, value_text, value_flag, unit, quality, estimated, time
             FROM merestone.reading WHERE tenant = 'gamma' ORDER BY place`,
      rowMode: 'array',
    });
    const time = new Date(ts);
    const first = 'm "1"\\';
    assert.deepEqual(stored.rows, [
      [first, 'a', 0.1, null, null, 'W', 'good', false, time],
      [first, 'b', 1.7976931348623157e308, null, null, 'W', 'good', false, time],
      [first, 'big', null, '18446744073709551615', null, 'W', 'good', false, time],
      [first, 'on', null, null, false, 'W', 'good', false, time],
      [first, 'a', -5e-324, null, null, 'W', 'good', false, time],
      [first, 'text', null, 'nul\uFFFD, {"x"}, käse, \uFFFD', null, 'W', 'good', false, time],
      [first, 'z', null, null, null, 'W', 'crc', false, time],
      ['m2', 'a', 9007199254740992, null, null, 'W', 'good', true, new Date(ts + 1)],
    ]);
  });

  it('are seen by their own tenant, and by no other', async () => {
    for (const [own, other] of [
      ['acme', 'beta'],
      ['beta', 'acme'],
    ] as const) {
      const session = await postgres.connect(`${own}_app`, own);
      const tenants = async (): Promise<string[]> => {
        const found = await session.query<{ tenant: string }>(
          'SELECT DISTINCT tenant FROM merestone.reading',
        );
        return found.rows.map(({ tenant }) => tenant);
      };
      const none = async (sql: string): Promise<void> =>
        assert.equal((await session.query(sql)).rowCount, 0, sql);
      const refused = (sql: string): Promise<void> =>
        assert.rejects(
          session.query(sql),
          /permission denied|must be owner|must be superuser|row-level security/,
          sql,
        );
      assert.deepEqual(await tenants(), [own]);
      await none(`SELECT * FROM merestone.reading WHERE tenant = '${other}'`);
      await none(`SELECT * FROM merestone.reading WHERE tenant <> '${own}'`);
      await none(`SELECT * FROM merestone.access WHERE tenant = '${other}'`);
      // What a session can claim about itself changes nothing.
      await session.query(`SET application_name = '${other}_app'`);
      await session.query(`SET merestone.tenant = '${other}'`);
      assert.deepEqual(await tenants(), [own]);
      // A function that would tell every row that the planner shows it sees none of the other's.
      await session.query(`CREATE FUNCTION pg_temp.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
        $$ BEGIN IF $1 = '${other}' THEN RAISE EXCEPTION 'saw %', $1; END IF; RETURN true; END $$`);
      await session.query('SELECT count(*) FROM merestone.reading WHERE pg_temp.spy(tenant)');
      await refused(`SET ROLE ${other}_app`);
      await refused(`SET SESSION AUTHORIZATION ${other}_app`);
      await refused(`INSERT INTO merestone.access VALUES ('${own}_app', '${other}')`);
      await refused(`UPDATE merestone.reading SET tenant = '${own}'`);
      await refused('DELETE FROM merestone.reading');
      await refused("COPY merestone.reading TO PROGRAM 'cat'");
      await refused('ALTER TABLE merestone.reading DISABLE ROW LEVEL SECURITY');
      await refused('DROP POLICY own_tenant ON merestone.reading');
      await session.query('SET row_security = off');
      await refused('SELECT * FROM merestone.reading');
      await session.end();
    }
    const otherUser = await postgres.connect('nobody', 'n');
    await assert.rejects(otherUser.query('SELECT * FROM merestone.reading'), /permission denied/);
    await otherUser.end();
  });

  it('are written by a role that reads nothing', async () => {
    const writer = await postgres.connect('writer', 'w');
    await assert.rejects(writer.query('SELECT * FROM merestone.reading'), /permission denied/);
    await writer.end();
  });

  it('are not written where the table does not hold tenants apart, or cannot be made', async () => {
    await admin.query('ALTER TABLE merestone.reading NO FORCE ROW LEVEL SECURITY');
    await assert.rejects(openPostgresSink(postgres.url('writer', 'w')), /no forced row-level security/);
    await admin.query('ALTER TABLE merestone.reading FORCE ROW LEVEL SECURITY');
    await assert.rejects(openPostgresSink(postgres.url('writer', 'wrong')), { code: 'DatabaseRefused' });
    await admin.query('CREATE DATABASE empty');
    const empty = (user: string, password: string): string =>
      postgres.url(user, password).replace(/postgres$/, 'empty');
    await assert.rejects(openPostgresSink(empty('writer', 'w')), { code: 'DatabaseRefused' });
    await admin.query("CREATE ROLE maker LOGIN PASSWORD 'm'; ALTER DATABASE empty OWNER TO maker");
    await assert.rejects(openPostgresSink(postgres.url('postgres', 'secret')), /superuser or has BYPASSRLS/);
    const sink = await openPostgresSink(empty('maker', 'm'));
    await sink.write(rows(new SealedStream(acme).appendMany(1), 1));
    await sink.close();
  });

  it('are not written where there is another way to other tenants’ rows', async () => {
    const ways = [
      [
        'CREATE POLICY more ON merestone.reading USING (true)',
        'DROP POLICY more ON merestone.reading',
        /more ON/,
      ],
      [
        'CREATE POLICY more ON merestone.access USING (true)',
        'DROP POLICY more ON merestone.access',
        /more ON/,
      ],
      [
        'ALTER POLICY own_tenant ON merestone.reading USING (true)',
        schema,
        /more than their own rows: own_tenant/,
      ],
      [
        'CREATE VIEW public.all_rows AS SELECT * FROM merestone.reading; GRANT SELECT ON public.all_rows TO acme_app',
        'DROP VIEW public.all_rows',
        /a view shows.*all_rows/,
      ],
      [
        `CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM merestone.reading;
         CREATE VIEW public.of_kept AS SELECT tenant FROM public.kept; GRANT SELECT (tenant) ON public.of_kept TO PUBLIC`,
        'DROP MATERIALIZED VIEW public.kept CASCADE',
        /a view shows.*of_kept/,
      ],
      ['ALTER ROLE writer BYPASSRLS', 'ALTER ROLE writer NOBYPASSRLS', /superuser or has BYPASSRLS/],
      [
        'ALTER TABLE merestone.access DISABLE ROW LEVEL SECURITY',
        'ALTER TABLE merestone.access ENABLE ROW LEVEL SECURITY',
        /no forced row-level security/,
      ],
      [
        'ALTER TABLE merestone.reading ALTER tenant SET STATISTICS 100',
        schema,
        /not as this version makes it/,
      ],
    ] as const;
    for (const [make, undo, message] of ways) {
      await admin.query(make);
      await assert.rejects(
        openPostgresSink(postgres.url('writer', 'w')),
        { message, code: 'DatabaseRefused' },
        make,
      );
      await admin.query(undo);
    }
    await admin.query(`CREATE VIEW public.fair WITH (security_invoker = true) AS SELECT * FROM merestone.reading;
      GRANT SELECT ON public.fair TO acme_app`);
    await (await openPostgresSink(postgres.url('writer', 'w'))).close();
    await admin.query('DROP VIEW public.fair');
  });

  it('are seen by members of a group, and by no role that was made again', async () => {
    await admin.query(`CREATE ROLE readers; GRANT USAGE ON SCHEMA merestone TO readers;
      GRANT SELECT ON merestone.reading TO readers;
      INSERT INTO merestone.access VALUES ('readers', 'beta');
      CREATE ROLE member LOGIN PASSWORD 'x' IN ROLE readers`);
    const tenantsOf = async (): Promise<unknown[]> => {
      const session = await postgres.connect('member', 'x');
      const { rows: found } = await session.query({
        text: 'SELECT DISTINCT tenant FROM merestone.reading',
        rowMode: 'array',
      });
      await session.end();
      return found;
    };
    assert.deepEqual(await tenantsOf(), [['beta']]);
    await admin.query(`INSERT INTO merestone.access VALUES ('member', 'acme');
      DROP ROLE member; CREATE ROLE member LOGIN PASSWORD 'x';
      GRANT USAGE ON SCHEMA merestone TO member; GRANT SELECT ON merestone.reading TO member`);
    assert.deepEqual(await tenantsOf(), []);
  });

  it('are found by the index, and EXPLAIN tells nothing of another tenant', async () => {
    await admin.query(`INSERT INTO merestone.reading
      SELECT 'beta', 'beta_gw-0009', 'e', n, 0, 'd', 'p', now(), n, NULL, NULL, NULL, 'good', false
      FROM generate_series(1, 20000) AS n; ANALYZE merestone.reading`);
    const session = await postgres.connect('acme_app', 'acme');
    const plan = async (where: string, options = ''): Promise<string> => {
      const { rows: lines } = await session.query<{ 'QUERY PLAN': string }>(
        `EXPLAIN (COSTS on ${options}) SELECT * FROM merestone.reading WHERE ${where}`,
      );
      return lines.map((line) => line['QUERY PLAN']).join('\n');
    };
    const point = "gateway = 'acme_gw-0001' AND device = 'main' AND point = 'power'";
    assert.match(await plan(point), /Index Cond: \(\(tenant = ANY/);
    const known = await plan("tenant = 'beta'");
    assert.equal(known.replaceAll('beta', 'none'), await plan("tenant = 'none'"));
    // How many lines the table of access has is told, and nothing of the rows.
    const [reading = ''] = (await plan("tenant = 'beta'", ', ANALYZE on')).split('InitPlan');
    assert.match(reading, /rows=0 loops=1/);
    assert.doesNotMatch(reading, /Removed/);
    await session.end();
    await admin.query("DELETE FROM merestone.reading WHERE gateway = 'beta_gw-0009'");
  });

  it('wait, and are told of, while the server is gone or hangs', async () => {
    const kinds: string[] = [];
    const limits = { silenceMs: 100, answerMs: 1000 };
    const sink = await openPostgresSink(postgres.url('writer', 'w'), ({ kind }) => kinds.push(kind), limits);
    const stream = new SealedStream({ tenant: 'delta', gateway: 'delta_gw-0001' }).appendMany(2);
    await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'");
    await sink.write(rows(stream, 1));
    assert.deepEqual(kinds.splice(0), ['database-away', 'database-back']);
    postgres.freeze();
    const written = sink.write(rows(stream, 2));
    await eventually('it is told', () => kinds.includes('database-away'));
    postgres.thaw();
    await written;
    assert.deepEqual(kinds, ['database-away', 'database-back']);
    await sink.close();
    const { rows: found } = await admin.query(
      "SELECT DISTINCT seq::int FROM merestone.reading WHERE tenant = 'delta' ORDER BY 1",
    );
    assert.deepEqual(found, [{ seq: 1 }, { seq: 2 }]);
  });

  it('that the table never takes are refused and kept, hold back nobody, and are taken when that is mended', async () => {
    const cases: [make: string, undo: string, reason: RegExp][] = [
      [
        'ALTER TABLE merestone.reading ADD CONSTRAINT few CHECK (value <> 3) NOT VALID',
        'ALTER TABLE merestone.reading DROP CONSTRAINT few',
        /violates check constraint "few"/,
      ],
      [
        'CREATE POLICY few ON merestone.reading AS RESTRICTIVE FOR INSERT WITH CHECK (value <> 3)',
        'DROP POLICY few ON merestone.reading',
        /violates row-level security policy "few"/,
      ],
      [
        `CREATE FUNCTION public.few() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN IF NEW.value = 3 THEN RAISE EXCEPTION 'never 3'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER few BEFORE INSERT ON merestone.reading FOR EACH ROW EXECUTE FUNCTION public.few();
         COMMENT ON TRIGGER few ON merestone.reading IS 'all tenants: a test'`,
        'DROP FUNCTION public.few CASCADE',
        /never 3/,
      ],
    ];
    for (const [index, [make, undo, reason]] of cases.entries()) {
      const name = `epsilon${index}`;
      const origin = { tenant: name, gateway: `${name}_gw-0001` };
      const stream = new SealedStream(origin).appendMany(4);
      await admin.query(make);
      const sink = await openPostgresSink(postgres.url('writer', 'w'));
      const bench = new ConsumerBench({ sink });
      for (const seq of [1, 2, 3, 4]) await bench.take('telemetry', stream.payload(seq), origin);
      await admin.query(undo);
      const [refused, ...more] = bench.store.parked.refused();
      assert.match(refused!.reason, reason);
      assert.deepEqual(more, []);
      assert.equal(bench.store.parked.release(), 1);
      for (let found = bench.store.parked.oldest(origin); found; found = bench.store.parked.oldest(origin)) {
        await bench.consumer.take(found.arrival);
        bench.store.parked.remove(origin, found.id, found.arrival);
      }
      await sink.close();
      const { rows: stored } = await admin.query(
        'SELECT DISTINCT seq::int FROM merestone.reading WHERE tenant = $1 ORDER BY 1',
        [name],
      );
      assert.deepEqual(stored, [{ seq: 1 }, { seq: 2 }, { seq: 3 }, { seq: 4 }]);
    }
  });

  it('go to another machine by verified TLS only', async () => {
    const remote = [
      'postgres://w@db.example.com/x',
      'postgres://w@192.0.2.1/x?sslmode=require',
      'postgres://w@x/y?host=db',
    ];
    for (const url of [...remote, 'mysql://x', 'postgres']) {
      await assert.rejects(openPostgresSink(url), { code: 'Usage' }, url);
    }
  });

  it('come in from the broker', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'consume-postgres-'));
    const authority = await createAuthority('Test CA');
    const broker = await Mosquitto.start({ authority });
    const paths = { ca: join(folder, 'ca.crt'), crt: join(folder, 'b.crt'), key: join(folder, 'b.key') };
    const backend = await authority.issue({ organization: 'backend', commonName: 'backend' });
    writeFileSync(paths.ca, authority.certificatePem);
    writeFileSync(paths.crt, backend.certificatePem);
    writeFileSync(paths.key, backend.privateKeyPem);
    const origin = { tenant: 'acme', gateway: 'acme_gw-0002' };
    const own = await authority.issue({ organization: 'acme', commonName: origin.gateway });
    const gateway = await connectAsync(broker.url, {
      protocolVersion: 5,
      ca: authority.certificatePem,
      cert: own.certificatePem,
      key: own.privateKeyPem,
    });
    const stream = new SealedStream(origin).appendMany(1);
    const publish = setInterval(() => {
      gateway.publish('t/acme/acme_gw-0002/telemetry', stream.payload(1), { qos: 1 });
    }, 200);
    const words = [
      '--url',
      broker.url,
      '--ca',
      paths.ca,
      '--certificate',
      paths.crt,
      '--private-key',
      paths.key,
    ];
    const database = ['--postgres', postgres.url('writer', 'w')];
    const { exitCode, stdout, stderr } = await runCommand(['consume', ...words, ...database, '--count', '1']);
    clearInterval(publish);
    await gateway.endAsync(true);
    await broker.close();
    rmSync(folder, { recursive: true });
    assert.equal(exitCode, 0, stderr);
    assert.equal(stdout, '');
    const session = await postgres.connect('acme_app', 'acme');
    const found = await session.query(
      `SELECT point, value FROM merestone.reading WHERE gateway = 'acme_gw-0002'`,
    );
    await session.end();
    assert.deepEqual(found.rows, [
      { point: 'power', value: 1 },
      { point: 'energy', value: 0.125 },
    ]);
  });
});
