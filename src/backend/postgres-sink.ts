import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { Client } from 'pg';
import { faultError, MerestoneError } from '../base/error.ts';
import { hostFault } from '../base/host.ts';
import type { Row } from './row.ts';
import type { RowSink } from './row-sink.ts';

const schemaFile = new URL('../../config/postgres.sql', import.meta.url);

/** A server that does not answer a connection within this is not there. */
const connectTimeoutMs = 10_000;

const columns: Record<string, [type: string, of: (row: Row, place: number) => unknown]> = {
  tenant: ['text', ({ tenant }) => tenant],
  gateway: ['text', ({ gateway }) => gateway],
  // A second chain of an epoch is apart from the first, whose numbers it has.
  epoch: ['text', ({ epoch, fork }) => (fork === undefined ? epoch : `${epoch}~${fork}`)],
  seq: ['bigint', ({ seq }) => seq],
  place: ['integer', (_row, place) => place],
  device: ['text', ({ device }) => storable(device)],
  point: ['text', ({ point }) => storable(point)],
  time: ['timestamptz', ({ time }) => time],
  value: ['double precision', ({ value }) => (typeof value === 'number' ? value : null)],
  value_text: ['text', ({ value }) => (typeof value === 'string' ? storable(value) : null)],
  value_flag: ['boolean', ({ value }) => (typeof value === 'boolean' ? value : null)],
  unit: ['text', ({ unit }) => (unit === null ? null : storable(unit))],
  quality: ['text', ({ quality }) => quality],
  estimated: ['boolean', ({ clock }) => clock === 'estimated'],
};

const arrays = Object.values(columns).map(([type], index) => `$${index + 1}::${type}[]`);
const insert = `
  INSERT INTO merestone.reading (${Object.keys(columns).join(', ')})
  SELECT * FROM unnest(${arrays.join(', ')})
  ON CONFLICT DO NOTHING`;

/**
 * Rows into the table of config/postgres.sql, one transaction a batch. A batch that comes again changes
 * nothing, so that a crash neither loses nor doubles. The table is made where it is missing; one that does
 * not hold tenants apart is refused. Throws Usage, DatabaseRefused.
 */
export async function openPostgresSink(url: string): Promise<RowSink> {
  const client = new Client({ connectionString: checkedUrl(url), connectionTimeoutMillis: connectTimeoutMs });
  let lost: Error | undefined;
  client.on('error', (error) => {
    lost = error;
  });
  try {
    await client.connect();
    await prepare(client);
  } catch (cause) {
    await client.end().catch(() => {});
    if (cause instanceof MerestoneError) throw cause;
    throw new MerestoneError('DatabaseRefused', `PostgreSQL: ${(cause as Error).message}`, {
      hint: 'check --postgres, and that config/postgres.sql was run and its grants made',
      cause,
    });
  }
  return {
    write: async (rows) => {
      const values = Object.values(columns).map(([, of]) => rows.map(of));
      try {
        if (lost !== undefined) throw lost;
        await client.query(insert, values);
      } catch (cause) {
        // A value that PostgreSQL has no room for is its sender's fault (Appendix A, class 22).
        if (String((cause as { code?: unknown }).code).startsWith('22')) throw cause;
        throw new MerestoneError('Io', `rows cannot be written: ${(cause as Error).message}`, {
          hint: 'nothing is lost: what was not written is not acknowledged, and the broker sends it again',
          cause,
        });
      }
    },
    mark: () => undefined,
    close: () => client.end(),
  };
}

async function prepare(client: Client): Promise<void> {
  if ((await heldApart(client)) === undefined) await client.query(readFileSync(schemaFile, 'utf8'));
  if (await heldApart(client)) return;
  throw new MerestoneError('DatabaseRefused', 'merestone.reading has no forced row-level security', {
    hint: 'run config/postgres.sql, so that no tenant can read another’s rows',
  });
}

/** Whether the table is under row-level security; undefined where there is none. */
async function heldApart(client: Client): Promise<boolean | undefined> {
  const { rows } = await client.query<{ held: boolean }>(
    `SELECT relrowsecurity AND relforcerowsecurity AS held FROM pg_class
     WHERE oid = to_regclass('merestone.reading')`,
  );
  return rows[0]?.held;
}

/** Tenants' data leaves the machine by TLS only, with the server's name checked. */
function checkedUrl(url: string): string {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
    throw new MerestoneError('Usage', 'the address given as --postgres is none', {
      hint: 'write postgres://USER@HOST/DATABASE, with the password in PGPASSWORD',
    });
  }
  const { hostname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? hostname;
  const bare = host.replace(/^\[|\]$/g, '');
  const fault = bare === '' || bare.startsWith('/') ? undefined : hostFault(bare);
  if (fault !== undefined) throw faultError('Usage', `--postgres: ${fault}`);
  const local =
    bare === '' ||
    bare.startsWith('/') ||
    bare === 'localhost' ||
    (isIP(bare) !== 0 && /^(127\.|::1$)/.test(bare));
  if (local || searchParams.get('sslmode') === 'verify-full') return url;
  throw new MerestoneError(
    'Usage',
    `${host} is another machine, and the connection to it would not be held to TLS`,
    {
      hint: 'add ?sslmode=verify-full&sslrootcert=/path/of/its/ca.crt to --postgres',
    },
  );
}

/** PostgreSQL's text has no NUL; a sensor's may. */
function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD');
}
